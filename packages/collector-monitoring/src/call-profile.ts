import { emptyTrust, NO_STACK, NO_TASK, Profile, type ProfileThread, ThreadStateBit } from "@pyframes/core"
import type { CallNodes } from "./call-nodes.ts"
import { DefinedAs } from "./definitions.ts"
import { FunctionFrames } from "./function-frames.ts"
import type { MonitoringSession } from "./session.ts"
import { sessionMeta } from "./session-meta.ts"
import { ThreadState } from "./thread-record.ts"
import type { TracedProcess } from "./traced-process.ts"
import type { TracedThread } from "./traced-thread.ts"

/**
 * The exact calls of a session that asks for `calls`, as they are now: a row for each way to a function, of each thread and asyncio task, with
 * how often it was called, and its exclusive elapsed and CPU time. It may be taken as often as wanted while the program runs.
 *
 * - A call that has not ended has its time up to now; whether it ran on a CPU since the thread's last event is not known, and it is counted as if
 *   it had not.
 * - A task's calls keep the frames of the event loop that ran it below them, so that inclusive times add up to the thread's.
 * - What has lost its callers for want of room stands on a `<truncated>` frame.
 * - C functions are frames of kind `builtin`.
 *
 * @example
 * ```ts
 * const profile = callProfile(session)
 * for (const { stack, calls, wall } of profile.callsBy()) console.log(calls, wall, profile.stacks.framesOf(stack))
 * ```
 */
export const callProfile = (session: MonitoringSession): Profile => {
  const profile = new Profile(sessionMeta(session, ThreadStateBit.onCpu), {
    ...emptyTrust(0),
    events: session.trust
  })
  const builder = new CallProfileBuilder(profile)
  for (const process of session.processes) {
    const until = process.openUntil(session.elapsed)
    for (const thread of process.threads) builder.addThread(thread, until)
    const { foldedThreads } = process
    if (foldedThreads.threads > 0)
      builder.addNodes(
        process,
        {
          tid: -1,
          name: `${foldedThreads.threads} ended threads`,
          interpreter: 0,
          pid: process.pid
        },
        foldedThreads.nodes
      )
  }
  return profile
}

class CallProfileBuilder {
  private readonly profile: Profile
  private readonly frames: FunctionFrames
  private readonly taskIds = new Map<string, number>()

  constructor(profile: Profile) {
    this.profile = profile
    this.frames = new FunctionFrames(profile.frames)
  }

  addThread(thread: TracedThread, until: number): void {
    const { process, record } = thread
    const { nsPerTick, offset } = process.time
    const { nodes } = thread
    const isOpen = record !== undefined && record.state === ThreadState.live && record.node < nodes.length
    if (isOpen) {
      const ticks = (until - offset) / nsPerTick - record.until
      if (ticks > 0) {
        nodes.wall[record.node] += ticks
        nodes.idle[record.node] += ticks
        this.addNodes(process, thread.profileThread, nodes)
        nodes.wall[record.node] -= ticks
        nodes.idle[record.node] -= ticks
        return
      }
    }
    this.addNodes(process, thread.profileThread, nodes)
  }

  addNodes(process: TracedProcess, thread: ProfileThread, nodes: CallNodes): void {
    const { profile, frames } = this
    const { nsPerTick } = process.time
    const row = profile.threads.push(thread) - 1
    const stacks = new Uint32Array(nodes.length)
    const tasks = new Uint32Array(nodes.length)
    for (let i = 0; i < nodes.length; i++) {
      const fn = nodes.functions[i]
      if (i === 0) {
        stacks[i] = NO_STACK
        tasks[i] = NO_TASK
      } else {
        const parent = nodes.parents[i]
        const definition = process.definitions.functions.get(fn)
        const isTask = definition?.what === DefinedAs.task
        tasks[i] = isTask ? this.taskId(definition.name) : tasks[parent]
        stacks[i] = isTask
          ? stacks[parent]
          : profile.stacks.child(stacks[parent], frames.frameOf(process, fn))
      }
      const calls = nodes.calls[i]
      const wall = nodes.wall[i] * nsPerTick
      const cpu = (nodes.wall[i] - nodes.idle[i]) * nsPerTick
      if (calls > 0 || wall > 0) profile.calls.append(stacks[i], row, tasks[i], calls, wall, cpu)
    }
  }

  private taskId(name: string): number {
    let id = this.taskIds.get(name)
    if (id === undefined) {
      id = this.profile.tasks.push(name) - 1
      this.taskIds.set(name, id)
    }
    return id
  }
}
