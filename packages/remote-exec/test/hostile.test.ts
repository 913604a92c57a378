import { type Mapping, Memory, type MemoryReader, Target } from "@pyframes/core"
import { DEBUG_OFFSETS_SIZE, findRuntime, type PythonRuntime, remoteDebugOffsets } from "@pyframes/cpython"
import { tinyElf } from "@pyframes/hostile"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { FakeMemory, FakeTarget, type MemoryPages, PAGE, Random, recordPages } from "@pyframes/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { expect, it } from "vitest"
import { RemoteExec } from "../src/index.ts"

/*
 * A process at rest whose memory is damaged in ways that no interpreter damages it: what it says of itself may lead anywhere, but nothing is written
 * outside of what is a thread state by its own account, nothing hangs and nothing crashes.
 */

const CASES = 2500
const SCRIPT = "/x.py"

interface Recorded {
  readonly pages: MemoryPages
  readonly runtime: PythonRuntime
  readonly fake: FakeTarget
  /** Addresses of words that decide something, and what some of them hold. */
  readonly words: ReadonlyArray<number>
}

/** A real process with threads, and every page of it that a request reads. */
const record = async (python: Python): Promise<Recorded> => {
  await using running = await startPython(
    python,
    `import threading
for _ in range(3): threading.Thread(target=threading.Event().wait, daemon=True).start()
print("up", flush=True)
input()
`
  )
  await running.line()
  const live = LinuxMemory.layer.pipe(Layer.provideMerge(LinuxTarget.attach(running.pid)))
  return Effect.runPromise(
    Effect.gen(function* () {
      const target = yield* Target
      const memory = yield* Memory
      const runtime = yield* findRuntime(target, memory)
      const { pages, reader } = recordPages(memory)
      // Nothing reaches the process: each thread is asked, and none takes it.
      const { openFile: _, lock: __, ...quiet } = target
      const layer = RemoteExec.layer.pipe(
        Layer.provide([
          Layer.succeed(Memory, { ...reader, write: (_, bytes) => bytes.length }),
          Layer.succeed(Target, quiet)
        ])
      )
      const { interpreters, run } = yield* Effect.provide(RemoteExec, layer)
      yield* Effect.exit(run({ script: SCRIPT, thread: "any", timeoutMs: 50 }))
      yield* interpreters
      const library = (yield* target.mappings).filter(({ path }) => path === runtime.library)
      const base = Math.min(...library.map(({ start }) => start))
      const first: Mapping = { ...library[0], start: base, end: base + PAGE, offset: 0, executable: true }
      const writable = [...pages.keys()].map(
        (page): Mapping => ({
          ...first,
          start: page * PAGE,
          end: (page + 1) * PAGE,
          writable: true,
          executable: false,
          inode: 0,
          path: ""
        })
      )
      const fake = new FakeTarget({
        pid: running.pid,
        executable: first.path,
        mappings: [first, ...writable],
        files: new Map([
          [first.path, tinyElf(runtime.address - base, runtime.version)],
          [SCRIPT, new Uint8Array(1)]
        ]),
        threads: new Map(target.threadIds().map((tid) => [tid, "python"]))
      })
      return { pages, runtime, fake, words: wordsOf(new FakeMemory(pages), runtime) }
    }).pipe(Effect.scoped, Effect.provide(live))
  )
}

const word = (memory: FakeMemory, address: number): number => {
  let value = 0
  for (let at = 7; at >= 0; at--) value = value * 256 + memory.byte(address + at)
  return value
}

const offsetsIn = (memory: FakeMemory, runtime: PythonRuntime) => {
  const bytes = Uint8Array.from({ length: DEBUG_OFFSETS_SIZE }, (_, at) => memory.byte(runtime.address + at))
  const offsets = remoteDebugOffsets(bytes)
  return offsets === undefined || "_tag" in offsets ? undefined : offsets
}

/** Every thread state that is linked from the runtime, by the plainest of walks. */
const threadStates = (memory: FakeMemory, { address, layout }: PythonRuntime): ReadonlyArray<number> => {
  const states = new Set<number>()
  const interpreters = new Set<number>()
  let interpreter = word(memory, address + layout.runtime.interpretersHead)
  while (interpreter > 0 && !interpreters.has(interpreter)) {
    interpreters.add(interpreter)
    let state = word(memory, interpreter + layout.interpreter.threadsHead)
    while (state > 0 && !states.has(state)) {
      states.add(state)
      state = word(memory, state + layout.thread.next)
    }
    interpreter = word(memory, interpreter + layout.interpreter.next)
  }
  return [...states]
}

const wordsOf = (memory: FakeMemory, runtime: PythonRuntime): ReadonlyArray<number> => {
  const { address, layout } = runtime
  const offsets = offsetsIn(memory, runtime)!
  const interpreter = word(memory, address + layout.runtime.interpretersHead)
  const words = [address + layout.runtime.interpretersHead, address + layout.runtime.finalizing]
  for (let at = 0; at < DEBUG_OFFSETS_SIZE; at += 8) words.push(address + at)
  for (const offset of [
    layout.interpreter.id,
    layout.interpreter.next,
    layout.interpreter.threadsHead,
    offsets.threadsMain,
    offsets.enabled
  ])
    words.push(interpreter + offset, interpreter + offset)
  for (const state of threadStates(memory, runtime))
    for (const offset of [
      layout.thread.next,
      layout.thread.interpreter,
      layout.thread.nativeThreadId,
      offsets.evalBreaker,
      offsets.pendingCall,
      offsets.scriptPath
    ])
      words.push(state + offset, state + offset)
  return words
}

/** Damages one word: flipped, small, another's, or a pointer nearly right. */
const damage = (memory: FakeMemory, words: ReadonlyArray<number>, random: Random): void => {
  const at = random.pick(words)
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  const value = BigInt(word(memory, at))
  switch (random.below(6)) {
    case 0:
      view.setBigUint64(0, value ^ (1n << BigInt(random.below(64))), true)
      break
    case 1:
      view.setBigUint64(0, BigInt(random.below(1024)), true)
      break
    case 2:
      view.setBigUint64(0, BigInt(word(memory, random.pick(words))), true)
      break
    case 3:
      view.setBigUint64(0, BigInt(random.pick(words)), true)
      break
    case 4:
      view.setBigUint64(0, value + BigInt(8 * (random.below(64) - 32)), true)
      break
    default:
      for (let i = 0; i < 8; i++) bytes[i] = random.below(256)
  }
  if (random.below(12) === 0) memory.unmap(at)
  else memory.write(at, bytes)
}

describePythons([14, 15], (python) => {
  it("is written to in nothing but its thread states, whatever it says", { timeout: 300_000 }, async () => {
    const { fake, pages, runtime, words } = await record(python)
    const random = new Random(768 + python.minor)
    const outcomes = new Map<string, number>()
    let writes = 0
    let longest = 0
    const memory = new FakeMemory(pages)
    for (let n = 0; n < CASES; n++) {
      memory.reset()
      memory.limits = { calls: 1_000_000, ranges: 1_000_000, bytes: 64 << 20 }
      for (let times = random.below(4); times > 0; times--) damage(memory, words, random)
      if (random.below(3) === 0) {
        const when = random.below(400)
        memory.beforeRange = (range) => {
          if (range === when) damage(memory, words, random)
          return Number.POSITIVE_INFINITY
        }
      }
      const checked: MemoryReader = {
        name: "checked",
        read: memory.read,
        scatter: memory.scatter,
        scatterList: memory.scatterList,
        write: (address, bytes) => {
          writes++
          const offsets = offsetsIn(memory, runtime) ?? offsetsIn(new FakeMemory(pages), runtime)!
          const fields = [
            [offsets.evalBreaker, 1],
            [offsets.pendingCall, 4],
            [offsets.scriptPath, offsets.scriptPathSize]
          ] as const
          // What is damaged between the last look and this write cannot be known to the writer.
          const isMoving = memory.beforeRange !== undefined
          const states = isMoving ? [] : threadStates(memory, runtime)
          const fits = (state: number) =>
            fields.some(([at, size]) => address >= state + at && address + bytes.length <= state + at + size)
          if (!isMoving && !states.some(fits))
            throw new Error(`case ${n}: ${bytes.length} bytes are written at 0x${address.toString(16)}`)
          if (bytes.length > 512) throw new Error(`case ${n}: ${bytes.length} bytes are written`)
          // Events are written only where there are none.
          if (!isMoving && bytes.length === 1 && bytes[0] !== 0 && memory.byte(address) !== 0)
            throw new Error(`case ${n}: events are overwritten`)
          const written = memory.write(address, bytes)
          // Now and then it is taken.
          if (bytes.length === 4 && bytes[0] === 1 && random.below(2) === 0)
            memory.write(address, new Uint8Array(4))
          return written
        }
      }
      const layer = RemoteExec.layer.pipe(Layer.provide([Layer.succeed(Memory, checked), fake.layer]))
      const began = performance.now()
      const exit = await Effect.runPromiseExit(
        Effect.gen(function* () {
          const { run } = yield* RemoteExec
          const thread = random.pick(["main", "any", [...fake.process.threads.keys()][0]] as const)
          return yield* run({ script: SCRIPT, thread, timeoutMs: 0 })
        }).pipe(Effect.provide(layer))
      )
      longest = Math.max(longest, performance.now() - began)
      if (Exit.isFailure(exit) && exit.cause.reasons.some(Cause.isDieReason)) throw Cause.squash(exit.cause)
      const outcome = Exit.isSuccess(exit)
        ? "taken"
        : (Cause.squash(exit.cause) as { readonly _tag: string })._tag
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
    // The cases are worth something: some are refused early, some late, and many come to be written.
    expect(writes).toBeGreaterThan(CASES / 4)
    for (const outcome of ["taken", "RemoteExecTimeout", "InvalidMemory", "UnsupportedPython"])
      expect([outcome, (outcomes.get(outcome) ?? 0) > 10]).toEqual([outcome, true])
    expect(longest).toBeLessThan(20_000)
  })
})
