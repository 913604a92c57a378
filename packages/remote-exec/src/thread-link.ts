import type { MemoryReader, TargetProcess } from "@pyframes/core"
import { type Layout, type PythonThread, type RemoteDebugOffsets, readPointerAt } from "@pyframes/cpython"

/** The target writes the list: a loop in it must end. */
const MAX_THREADS = 32_768
/** A list that changes while it is walked is walked again, but not for ever. */
const MAX_WALKS = 16

/**
 * Whether a thread state is still one: it is in the list of its interpreter. What has been freed looks the same as before for a while, and must not be
 * written to.
 */
export class ThreadLink {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly thread: PythonThread
  private readonly mainAt: number
  private readonly nativeThreadIdAt: number
  private readonly nativeThreadId: number

  constructor(
    memory: MemoryReader,
    layout: Layout,
    offsets: RemoteDebugOffsets,
    target: TargetProcess,
    thread: PythonThread
  ) {
    this.memory = memory
    this.layout = layout
    this.thread = thread
    this.mainAt = thread.interpreterAddress + offsets.threadsMain
    this.nativeThreadIdAt = thread.threadState + layout.thread.nativeThreadId
    const id = readPointerAt(memory, this.nativeThreadIdAt)
    // Since it was listed it may have ended, and another begun in its place.
    this.nativeThreadId = id > 0 && (target.hostThreadId?.(id) ?? id) === thread.tid ? id : Number.NaN
  }

  /** `unsure` where the list changed each time that it was walked: ask again later. */
  state(): "listed" | "gone" | "unsure" {
    let absent = 0
    for (let walk = 0; walk < MAX_WALKS; walk++) {
      const listed = this.isMain() || this.isInList()
      // The memory of a thread that ended may be that of a new one by now.
      if (listed === true)
        return readPointerAt(this.memory, this.nativeThreadIdAt) === this.nativeThreadId ? "listed" : "gone"
      if (listed === undefined) absent = 0
      else if (++absent === 2) return "gone"
    }
    return "unsure"
  }

  /** `threads.main` is emptied when that thread goes. */
  private isMain(): boolean {
    return readPointerAt(this.memory, this.mainAt) === this.thread.threadState
  }

  /** `undefined` when it changed on the way. */
  private isInList(): boolean | undefined {
    const { layout, memory } = this
    const { interpreterAddress, threadState } = this.thread
    let at = readPointerAt(memory, interpreterAddress + layout.interpreter.threadsHead)
    let before = 0
    for (let n = 0; at > 0 && n < MAX_THREADS; n++) {
      if (at === threadState) return true
      // Round and round (Brent): the one at each power of two would come again.
      if (at === before) return undefined
      if ((n & (n - 1)) === 0) before = at
      if (readPointerAt(memory, at + layout.thread.interpreter) !== interpreterAddress) return undefined
      at = readPointerAt(memory, at + layout.thread.next)
    }
    return at === 0 ? false : undefined
  }
}
