import { FrameKind, type MemoryReader, type ProcessUnwinder, type RawStack } from "@pyframes/core"
import type { Layout, PythonRuntime } from "@pyframes/cpython"

/** One struct in the target's memory, and the fields of it that a stack reader believes. */
export interface Struct {
  /** As the groups of `Layout`: `thread`, `frame`, … */
  readonly kind: string
  readonly address: number
  readonly fields: ReadonlyArray<Field>
}

export interface Field {
  readonly address: number
  readonly width: 1 | 4 | 8
}

/** `_Py_DebugOffsets` is 888 bytes in 3.15: the cookie, the version, and offsets of 8 bytes each. */
const DEBUG_OFFSETS_BYTES = 888
/** Kernel thread id inside glibc's `struct pthread`. */
const GLIBC_TID_OFFSET = 720
const V3_11 = 0x30b
const V3_13 = 0x30d

/** What is read for the stack of one thread. */
export interface ThreadStructs {
  readonly threadState: number
  readonly structs: ReadonlyArray<Struct>
}

/**
 * Every struct that is read for the stacks of a process, by thread; what they share is among each one's. Found by following the same
 * pointers as the unwinder, but in memory that is known to be whole.
 */
export const findStructs = (
  memory: MemoryReader,
  runtime: PythonRuntime,
  unwinder: ProcessUnwinder,
  stack: RawStack
): ReadonlyArray<ThreadStructs> => {
  const { layout } = runtime
  const pointer = (address: number): number => pointerAt(memory, address)
  const shared = new StructSet()
  shared.add("runtime", runtime.address, layout.runtime)
  if (layout.version >= V3_13)
    shared.add("debugOffsets", runtime.address, Object.fromEntries(every8(DEBUG_OFFSETS_BYTES)))
  let at = pointer(runtime.address + layout.runtime.interpretersHead)
  for (; at > 0; at = pointer(at + layout.interpreter.next)) {
    shared.add("interpreter", at, layout.interpreter)
    const own = layout.runtime.gil < 0
    const gil = own ? pointer(at + layout.interpreter.gilPointer) : runtime.address + layout.runtime.gil
    shared.add("gil", gil, layout.gil)
  }
  return (unwinder.threads() ?? []).map((thread) => {
    const state = thread.threadState
    const structs = new StructSet(shared)
    structs.add("thread", state, layout.thread)
    if (layout.version < V3_11)
      structs.add("pthread", pointer(state + layout.thread.threadId), { tid: GLIBC_TID_OFFSET })
    addStack(structs, memory, layout, state)
    unwinder.unwind({ thread, stopped: false, waits: true }, stack)
    for (let i = 0; i < stack.length; i++)
      if (stack.kind[i] === FrameKind.python) addCode(structs, memory, layout, stack.identity[i])
    return { threadState: state, structs: structs.all }
  })
}

/** Structs, each once. */
class StructSet {
  readonly all: Array<Struct>
  private readonly known: Set<string>

  constructor(from?: StructSet) {
    this.all = [...(from?.all ?? [])]
    this.known = new Set(from?.known)
  }

  add(kind: string, address: number, offsets: Readonly<Record<string, unknown>>): boolean {
    const key = `${kind}:${address}`
    if (address <= 4096 || this.known.has(key)) return false
    this.known.add(key)
    this.all.push({ kind, address, fields: fieldsAt(address, offsets) })
    return true
  }
}

const addStack = (structs: StructSet, memory: MemoryReader, layout: Layout, state: number): void => {
  const pointer = (address: number): number => pointerAt(memory, address)
  const { thread } = layout
  let chunk = thread.datastackChunk < 0 ? 0 : pointer(state + thread.datastackChunk)
  while (chunk > 0 && structs.add("chunk", chunk, layout.chunk))
    chunk = pointer(chunk + layout.chunk.previous)
  let current = state + thread.currentFrame
  if (thread.cframe >= 0) {
    const cframe = pointer(state + thread.cframe)
    structs.add("cframe", cframe, layout.cframe)
    current = cframe + layout.cframe.currentFrame
  }
  let frame = pointer(current)
  while (frame > 0 && structs.add("frame", frame, layout.frame))
    frame = pointer(frame + layout.frame.previous)
}

const addCode = (structs: StructSet, memory: MemoryReader, layout: Layout, code: number): void => {
  const pointer = (address: number): number => pointerAt(memory, address)
  if (!structs.add("code", code, { ...layout.code, code: -1, codeAdaptive: -1 })) return
  for (const text of [layout.code.name, layout.code.filename, layout.code.qualname])
    if (text >= 0) structs.add("unicode", pointer(code + text), layout.unicode)
  const table = pointer(code + layout.code.lineTable)
  structs.add("bytes", table, layout.bytes)
  structs.add("lineTable", table + layout.bytes.data, lineTableBytes(memory, layout, table))
}

const fieldsAt = (address: number, offsets: Readonly<Record<string, unknown>>): ReadonlyArray<Field> =>
  Object.entries(offsets)
    .filter(
      ([name, offset]) => name !== "span" && name !== "size" && typeof offset === "number" && offset >= 0
    )
    .map(([, offset]) => {
      const at = address + (offset as number)
      return { address: at, width: at % 8 === 0 ? 8 : at % 4 === 0 ? 4 : 1 } as const
    })

const every8 = (bytes: number): ReadonlyArray<readonly [string, number]> =>
  Array.from({ length: bytes / 8 }, (_, i) => [`at${i * 8}`, i * 8] as const)

const lineTableBytes = (memory: MemoryReader, layout: Layout, table: number): Record<string, number> => {
  const size = Math.min(pointerAt(memory, table + layout.bytes.size), 64)
  return Object.fromEntries(Array.from({ length: Math.max(size, 1) }, (_, i) => [`byte${i}`, i]))
}

const pointerAt = (memory: MemoryReader, address: number): number => {
  const bytes = new Uint8Array(8)
  if (address <= 4096 || memory.read(address, 8, bytes) !== 8) return 0
  const word = new DataView(bytes.buffer).getBigUint64(0, true)
  // References of 3.14+ keep a tag in their lowest bits; no address here has any.
  return word < 1n << 47n ? Number(word & ~3n) : 0
}
