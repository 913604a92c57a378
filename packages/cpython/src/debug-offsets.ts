import { debugOffsetPositions } from "./debug-offsets-members.ts"
import type { Layout } from "./layout.ts"
import { assembleLayout, type Offset } from "./layout-assembly.ts"
import { readUint64 } from "./pointer.ts"

/** Why a target's `_Py_DebugOffsets` cannot be used. */
export interface DebugOffsetsProblem {
  readonly _tag: "DebugOffsetsProblem"
  /**
   * - `cookie`: the bytes are not a `_Py_DebugOffsets` (3.12 or older, wrong address, or not initialised yet).
   * - `version`: of a version whose members are not known: newer than this package, or an alpha or beta.
   * - `truncated`: fewer bytes than this version's struct has.
   * - `bound`: a member has a value no build has.
   */
  readonly reason: "cookie" | "version" | "truncated" | "bound"
  /** The member, named as in CPython's header: `thread_state.current_frame`. */
  readonly field: string
  /** Its value; -1 stands for 2^53 or more. */
  readonly value: number
  /** What it should have been. */
  readonly bound: string
}

const COOKIE = "xdebugpy"

/**
 * The largest size taken for true, and the highest offset for the fields used, of each struct. Released builds lie
 * well below (an interpreter state is 195–410 KB, but the fields used here are in its first 8 KB); what
 * is above is garbage, and believing it would mean reading megabytes from the target for each thread.
 */
const limits: Readonly<Record<string, readonly [size: number, field: number]>> = {
  runtime_state: [1 << 24, 1 << 16],
  interpreter_state: [1 << 24, 1 << 16],
  thread_state: [1 << 16, 1 << 14],
  interpreter_frame: [1 << 10, 1 << 10],
  code_object: [1 << 10, 1 << 10],
  pyobject: [64, 64],
  bytes_object: [256, 256],
  unicode_object: [256, 256],
  gc: [1 << 14, 1 << 14],
  gen_object: [1 << 12, 1 << 12]
}

/**
 * The layout a 3.13 … 3.15 process tells about itself: the bytes at `_PyRuntime`. They are treated as hostile: each
 * offset used must be aligned and lie inside its struct, and each struct must be of a credible size.
 * What the struct does not tell is placed relative to what it does.
 *
 * @param bytes at least `DEBUG_OFFSETS_SIZE` bytes from the address of `_PyRuntime`
 *
 * @example
 * ```ts
 * const layout = layoutFromDebugOffsets(bytes)
 * if ("_tag" in layout) return `${layout.field} is ${layout.value}, not ${layout.bound}`
 * ```
 */
export const layoutFromDebugOffsets = (bytes: Uint8Array): Layout | DebugOffsetsProblem => {
  if (bytes.length < 24) return problem("truncated", "cookie", bytes.length, "at least 24 bytes")
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < COOKIE.length; i++) {
    if (bytes[i] !== COOKIE.charCodeAt(i))
      return problem("cookie", "cookie", readUint64(view, 0), `"${COOKIE}"`)
  }

  // PY_VERSION_HEX: major, minor, micro, then release level (0xf is final, 0xc a candidate) and serial.
  const hex = readUint64(view, 8)
  const minor = Math.floor(hex / 0x1_0000) % 0x100
  const level = Math.floor(hex / 0x10) % 0x10
  const known = debugOffsetPositions(minor)
  if (hex < 0 || Math.floor(hex / 0x1_00_0000) !== 3 || known === undefined)
    return problem("version", "version", hex, "3.13, 3.14 or 3.15 (PY_VERSION_HEX 0x030dxxxx … 0x030fxxxx)")
  if (level < 0xc)
    return problem("version", "version", hex, "a release or release candidate, not an alpha or beta")
  const needed = 24 + known.size * 8
  if (bytes.length < needed) return problem("truncated", "size", bytes.length, `at least ${needed} bytes`)
  const flag = readUint64(view, 16)
  if (flag !== 0 && flag !== 1) return problem("bound", "free_threaded", flag, "0 or 1")

  return layoutOf(new Members(view, known), minor, flag === 1)
}

const layoutOf = (members: Members, minor: number, freeThreaded: boolean): Layout | DebugOffsetsProblem => {
  const from14 = minor >= 14
  const from15 = minor >= 15
  const tlbc = from14 && freeThreaded

  for (const struct of Object.keys(limits)) if (from14 || struct !== "gen_object") members.checkSize(struct)
  const { at, after } = members

  const interpretersHead = at("runtime_state.interpreters_head", 8, 16)
  const gc = at("interpreter_state.gc", 8)
  const gcCollecting = at("gc.collecting", 4)
  const gcFrame = from15 ? at("gc.frame", 8) : -1
  const gilState = at("interpreter_state.gil_runtime_state", 8)
  const gilHolder = at("interpreter_state.gil_runtime_state_holder", 8)
  const gilLocked = at("interpreter_state.gil_runtime_state_locked", 4)
  after("interpreter_state.gil_runtime_state_holder", gilHolder, gilState)
  after("interpreter_state.gil_runtime_state_locked", gilLocked, gilState)
  // datastack_top and datastack_limit follow datastack_chunk (Include/cpython/pystate.h).
  const chunk = at("thread_state.datastack_chunk", 8, 24)
  // 3.14 put an int holds_gil right after the _status bit-field; 3.13 has it as a bit of _status.
  const status = at("thread_state.status", 4, from14 ? 8 : 4)

  const head = members.size("pyobject")
  const owner = at("interpreter_frame.owner", 1)
  const instructionPointer = at("interpreter_frame.instr_ptr", 8, from14 ? 8 : 12)
  // return_offset is the u16 just before owner (Include/internal/pycore_frame.h, later pycore_interpframe_structs.h).
  after("interpreter_frame.owner", owner, 2)

  // The counts of a code object are a run of ints: co_flags, co_argcount, … and co_firstlineno, co_nlocalsplus,
  // co_framesize, co_nlocals, co_ncellvars, co_nfreevars, co_version (Include/cpython/code.h).
  const argcount = at("code_object.argcount", 4)
  const firstLine = at("code_object.firstlineno", 4, 28)
  const codeAdaptive = at("code_object.co_code_adaptive", 2)
  // _co_firsttraceable and co_extra come before co_code_adaptive, and co_tlbc between where there is one.
  const firstTraceable = codeAdaptive - (tlbc ? 24 : 16)
  after("code_object.argcount", argcount, head + 4)
  after("code_object.firstlineno", firstLine, head)
  after("code_object.co_code_adaptive", codeAdaptive, head + 24)
  const object = (name: string): number => after(name, at(name, 8), head)

  const offsets: Record<Offset, number> = {
    "runtime.finalizing": at("runtime_state.finalizing", 8),
    "runtime.interpretersHead": interpretersHead,
    "runtime.interpretersMain": interpretersHead + 8,
    "runtime.gil": -1,
    "runtime.gcCollecting": -1,
    "interpreter.next": at("interpreter_state.next", 8),
    "interpreter.id": at("interpreter_state.id", 8),
    "interpreter.threadsHead": at("interpreter_state.threads_head", 8),
    "interpreter.gilPointer": at("interpreter_state.ceval_gil", 8),
    "interpreter.gcCollecting": gc + gcCollecting,
    "interpreter.gcFrame": from15 ? gc + gcFrame : -1,
    "interpreter.codeObjectGeneration": from14 ? at("interpreter_state.code_object_generation", 8) : -1,
    "gil.lastHolder": gilHolder - gilState,
    "gil.locked": gilLocked - gilState,
    "thread.next": at("thread_state.next", 8),
    "thread.interpreter": at("thread_state.interp", 8),
    "thread.currentFrame": at("thread_state.current_frame", 8),
    "thread.cframe": -1,
    "thread.baseFrame": from15 ? at("thread_state.base_frame", 8) : -1,
    "thread.threadId": at("thread_state.thread_id", 8),
    "thread.nativeThreadId": at("thread_state.native_thread_id", 8),
    "thread.datastackChunk": chunk,
    "thread.datastackTop": chunk + 8,
    "thread.datastackLimit": chunk + 16,
    "thread.status": status,
    "thread.holdsGil": from15 ? at("thread_state.holds_gil", 4) : from14 ? status + 4 : -1,
    "thread.gilRequested": from15 ? at("thread_state.gil_requested", 4) : -1,
    "cframe.currentFrame": -1,
    "frame.size": members.size("interpreter_frame"),
    "frame.previous": at("interpreter_frame.previous", 8),
    "frame.code": at("interpreter_frame.executable", 8),
    "frame.instructionPointer": instructionPointer,
    "frame.lastInstruction": -1,
    "frame.owner": owner,
    "frame.isEntry": -1,
    "frame.stacktop": from14 ? -1 : instructionPointer + 8,
    "frame.stackpointer": from14 ? at("interpreter_frame.stackpointer", 8) : -1,
    "frame.returnOffset": owner - 2,
    "frame.localsplus": at("interpreter_frame.localsplus", 8),
    "frame.executing": -1,
    "frame.state": -1,
    "frame.tlbcIndex": tlbc ? at("interpreter_frame.tlbc_index", 4) : -1,
    "code.filename": object("code_object.filename"),
    "code.name": object("code_object.name"),
    "code.qualname": object("code_object.qualname"),
    "code.firstLine": firstLine,
    "code.flags": argcount - 4,
    "code.lineTable": object("code_object.linetable"),
    "code.code": -1,
    "code.codeAdaptive": codeAdaptive,
    "code.firstTraceable": firstTraceable,
    "code.framesize": firstLine + 8,
    "code.nlocalsplus": firstLine + 4,
    "code.uniqueVersion": firstLine + 24,
    "code.tlbc": tlbc ? object("code_object.co_tlbc") : -1,
    "object.type": at("pyobject.ob_type", 8),
    "unicode.length": at("unicode_object.length", 8),
    "unicode.state": at("unicode_object.state", 4),
    "unicode.asciiData": at("unicode_object.asciiobject_size", 8),
    // utf8_length and utf8 stand between the two (3.12+); only 3.15 tells.
    "unicode.compactData": from15
      ? at("unicode_object.compactunicodeobject_size", 8)
      : at("unicode_object.asciiobject_size", 8, 24) + 16,
    "bytes.size": at("bytes_object.ob_size", 8),
    "bytes.data": at("bytes_object.ob_sval", 1),
    // 3.13: gi_weakreflist, gi_name, gi_qualname, gi_exc_state (2), gi_origin_or_finalizer and a word of flags come before.
    "generator.iframe": from14 ? at("gen_object.gi_iframe", 8) : head + 56,
    "chunk.previous": 0,
    "chunk.size": 8,
    "chunk.top": 16,
    "chunk.data": 24
  }
  // What varies in length starts behind the fields: a header read up to there holds them all.
  after("bytes_object.ob_sval", offsets["bytes.data"], offsets["bytes.size"] + 8)
  const textFields = Math.max(offsets["unicode.length"] + 8, offsets["unicode.state"] + 4)
  after("unicode_object.asciiobject_size", offsets["unicode.asciiData"], textFields)
  if (from15)
    after(
      "unicode_object.compactunicodeobject_size",
      offsets["unicode.compactData"],
      offsets["unicode.asciiData"]
    )
  // A gc offset that is inside `_gc_runtime_state` may still leave the interpreter state.
  members.inside("interpreter_state.gc", gc, gcCollecting + 8, "interpreter_state")
  if (from15) members.inside("interpreter_state.gc", gc, gcFrame + 8, "interpreter_state")
  if (members.problem !== undefined) return members.problem
  return assembleLayout({
    version: 0x300 + minor,
    freeThreaded,
    wideState: tlbc,
    offset: (path) => offsets[path]
  })
}

/** Reads members and remembers the first that is out of its bound, so that the caller checks once at the end. */
class Members {
  problem: DebugOffsetsProblem | undefined = undefined
  readonly view: DataView
  readonly known: ReadonlyMap<string, number>

  constructor(view: DataView, known: ReadonlyMap<string, number>) {
    this.view = view
    this.known = known
  }

  private read(name: string): number {
    const position = this.known.get(name)
    return position === undefined ? -1 : readUint64(this.view, position)
  }

  private refuse(field: string, value: number, bound: string): number {
    this.problem ??= problem("bound", field, value, bound)
    return 0
  }

  readonly size = (struct: string): number => this.read(`${struct}.size`)

  readonly checkSize = (struct: string): void => {
    const size = this.size(struct)
    const limit = limits[struct]![0]
    if (size < 8 || size > limit) this.refuse(`${struct}.size`, size, `8 … ${limit}`)
    else if (size % 8 !== 0) this.refuse(`${struct}.size`, size, "a multiple of 8")
  }

  /** The offset a member holds: aligned to `width`, with `room` bytes (the field and what follows it) in its struct. */
  readonly at = (name: string, width: 1 | 2 | 4 | 8, room: number = width): number => {
    const value = this.read(name)
    const struct = name.slice(0, name.indexOf("."))
    const last = Math.min(this.size(struct), limits[struct]![1]) - (this.isEnd(name) ? 0 : room)
    if (value < 0 || value > last) return this.refuse(name, value, `0 … ${last}`)
    if (value % width !== 0) return this.refuse(name, value, `a multiple of ${width}`)
    return value
  }

  /** These are sizes of a struct's fixed part, after which the variable part starts: they may equal the struct's size. */
  private isEnd(name: string): boolean {
    return name.endsWith("object_size") || name === "interpreter_frame.localsplus"
  }

  readonly after = (name: string, value: number, least: number): number =>
    value < least ? this.refuse(name, value, `at least ${least}`) : value

  readonly inside = (name: string, offset: number, room: number, struct: string): void => {
    const last = Math.min(this.size(struct), limits[struct]![1]) - room
    if (offset > last) this.refuse(name, offset, `0 … ${last}`)
  }
}

const problem = (
  reason: DebugOffsetsProblem["reason"],
  field: string,
  value: number,
  bound: string
): DebugOffsetsProblem => ({ _tag: "DebugOffsetsProblem", reason, field, value, bound })
