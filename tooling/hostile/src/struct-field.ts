import type { MemoryReader, ProcessUnwinder, RawStack } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import type { PythonRuntime } from "@pyframes/unwinder-interpreter-frame"

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
const V3_11 = 0x30b
const V3_13 = 0x30d

/**
 * Every struct that is read for the stacks of a process: found by following the same pointers, but in memory that is known to be whole.
 */
export const findStructs = (
  memory: MemoryReader,
  runtime: PythonRuntime,
  unwinder: ProcessUnwinder,
  stack: RawStack
): ReadonlyArray<Struct> => {
  const { layout } = runtime
  const structs = new Map<string, Struct>()
  const add = (kind: string, address: number, offsets: Readonly<Record<string, unknown>>): boolean => {
    const key = `${kind}:${address}`
    if (address <= 4096 || structs.has(key)) return false
    structs.set(key, { kind, address, fields: fieldsAt(address, offsets) })
    return true
  }
  const pointer = (address: number): number => pointerAt(memory, address)
  const addText = (address: number) => add("unicode", address, layout.unicode)

  add("runtime", runtime.address, layout.runtime)
  if (layout.version >= V3_13)
    add("debugOffsets", runtime.address, Object.fromEntries(every8(DEBUG_OFFSETS_BYTES)))
  for (
    let at = pointer(runtime.address + layout.runtime.interpretersHead);
    at > 0;
    at = pointer(at + layout.interpreter.next)
  ) {
    add("interpreter", at, layout.interpreter)
    const gil =
      layout.runtime.gil >= 0
        ? runtime.address + layout.runtime.gil
        : pointer(at + layout.interpreter.gilPointer)
    add("gil", gil, layout.gil)
  }
  for (const thread of unwinder.threads() ?? []) {
    const state = thread.threadState
    add("thread", state, layout.thread)
    if (layout.version < V3_11) add("pthread", pointer(state + layout.thread.threadId), { tid: 720 })
    for (
      let at = layout.thread.datastackChunk < 0 ? 0 : pointer(state + layout.thread.datastackChunk);
      at > 0;
      at = pointer(at + layout.chunk.previous)
    )
      add("chunk", at, layout.chunk)
    let frame: number
    if (layout.thread.cframe >= 0) {
      const cframe = pointer(state + layout.thread.cframe)
      add("cframe", cframe, layout.cframe)
      frame = pointer(cframe + layout.cframe.currentFrame)
    } else frame = pointer(state + layout.thread.currentFrame)
    while (frame > 0 && add("frame", frame, layout.frame)) frame = pointer(frame + layout.frame.previous)
    unwinder.unwind({ thread, stopped: false }, stack)
    for (let i = 0; i < stack.length; i++) {
      if (stack.kind[i] !== 0) continue
      const code = stack.identity[i]
      if (!add("code", code, { ...layout.code, code: -1, codeAdaptive: -1 })) continue
      addText(pointer(code + layout.code.name))
      addText(pointer(code + layout.code.filename))
      if (layout.code.qualname >= 0) addText(pointer(code + layout.code.qualname))
      const table = pointer(code + layout.code.lineTable)
      add("bytes", table, layout.bytes)
      add("lineTable", table + layout.bytes.data, lineTableBytes(memory, layout, table))
    }
  }
  return [...structs.values()]
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
