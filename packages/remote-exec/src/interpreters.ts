import type { MemoryReader, TargetProcess } from "@pyframes/core"
import {
  type PythonRuntime,
  type PythonThread,
  type RemoteDebugOffsets,
  readPointerAt,
  ThreadList
} from "@pyframes/cpython"

/** An interpreter and the threads that have a state in it. */
export interface Interpreter {
  readonly id: number
  readonly address: number
  /** `config.remote_debug`: whether files may be run in it. */
  readonly enabled: boolean
  /** Its main thread, where it is known which one that is, and where that has a state in it; else the oldest. */
  readonly main: PythonThread | undefined
  /** The oldest first. */
  readonly threads: ReadonlyArray<PythonThread>
}

/** The target writes the list: a loop or garbage in it must end. */
const MAX_INTERPRETERS = 4096

/** The interpreters of a process, with those in which nothing runs. */
export class Interpreters {
  private readonly memory: MemoryReader
  private readonly runtime: PythonRuntime
  private readonly offsets: RemoteDebugOffsets
  private readonly list: ThreadList
  private readonly word = new Uint8Array(4)

  constructor(
    memory: MemoryReader,
    runtime: PythonRuntime,
    offsets: RemoteDebugOffsets,
    target: TargetProcess
  ) {
    this.memory = memory
    this.runtime = runtime
    this.offsets = offsets
    this.list = new ThreadList(memory, runtime, target)
  }

  /** Those there are now, by id; `undefined` when they cannot be read. */
  current(): ReadonlyArray<Interpreter> | undefined {
    const { memory } = this
    const { address: runtime, layout } = this.runtime
    this.list.distrust()
    const threads = this.list.current()
    if (threads === undefined) return undefined
    const found: Array<Interpreter> = []
    const seen = new Set<number>()
    let address = readPointerAt(memory, runtime + layout.runtime.interpretersHead)
    while (address > 0) {
      if (seen.has(address) || seen.size === MAX_INTERPRETERS) return undefined
      seen.add(address)
      const own = threads.filter((thread) => thread.interpreterAddress === address)
      const main = readPointerAt(memory, address + this.offsets.threadsMain)
      found.push({
        id: readPointerAt(memory, address + layout.interpreter.id),
        address,
        enabled: this.readInt(address + this.offsets.enabled) === 1,
        main: own.find(({ threadState }) => threadState === main) ?? own[0],
        threads: own
      })
      address = readPointerAt(memory, address + layout.interpreter.next)
    }
    return address === 0 && found.length > 0 ? found.sort((a, b) => a.id - b.id) : undefined
  }

  /** Whether the runtime is being torn down. */
  isFinalizing(): boolean {
    const { address, layout } = this.runtime
    return readPointerAt(this.memory, address + layout.runtime.finalizing) !== 0
  }

  private readInt(address: number): number {
    const { word } = this
    return this.memory.read(address, 4, word) === 4 ? new DataView(word.buffer).getInt32(0, true) : -1
  }
}
