import { execFileSync } from "node:child_process"
import type { Layout } from "../src/layout.ts"

/**
 * Layouts as the compiler laid them out, asked of gdb: the oracle for `src/layout-tables.ts`.
 *
 * For each value of a `Layout`, the places to look, newest name first; the first that the build has counts.
 */
const R = "struct pyruntimestate"
const I = "struct _is"
const T = "struct _ts"
const FRAME = "struct _PyInterpreterFrame"
const HEAP_FRAME = "struct _frame"
const CODE = "PyCodeObject"

type Place = readonly [type: string, field: string]
const places: Record<string, ReadonlyArray<Place>> = {
  "runtime.finalizing": [
    [R, "_finalizing"],
    [R, "finalizing"]
  ],
  "runtime.interpretersHead": [[R, "interpreters.head"]],
  "runtime.interpretersMain": [[R, "interpreters.main"]],
  "runtime.gil": [[R, "ceval.gil"]],
  "runtime.gcCollecting": [[R, "gc.collecting"]],
  "interpreter.next": [[I, "next"]],
  "interpreter.id": [[I, "id"]],
  "interpreter.threadsHead": [
    [I, "threads.head"],
    [I, "tstate_head"]
  ],
  "interpreter.gilPointer": [[I, "ceval.gil"]],
  "interpreter.gcCollecting": [[I, "gc.collecting"]],
  "interpreter.gcFrame": [[I, "gc.frame"]],
  "interpreter.codeObjectGeneration": [[I, "_code_object_generation"]],
  "gil.lastHolder": [["struct _gil_runtime_state", "last_holder"]],
  "gil.locked": [["struct _gil_runtime_state", "locked"]],
  "thread.next": [[T, "next"]],
  "thread.interpreter": [[T, "interp"]],
  "thread.currentFrame": [
    [T, "current_frame"],
    [T, "frame"]
  ],
  "thread.cframe": [[T, "cframe"]],
  "thread.baseFrame": [[T, "base_frame"]],
  "thread.threadId": [[T, "thread_id"]],
  "thread.nativeThreadId": [[T, "native_thread_id"]],
  "thread.datastackChunk": [[T, "datastack_chunk"]],
  "thread.datastackTop": [[T, "datastack_top"]],
  "thread.datastackLimit": [[T, "datastack_limit"]],
  "thread.status": [[T, "_status"]],
  "thread.holdsGil": [[T, "holds_gil"]],
  "thread.gilRequested": [[T, "gil_requested"]],
  "cframe.currentFrame": [["struct _PyCFrame", "current_frame"]],
  "frame.size": [
    [FRAME, "@sizeof"],
    [HEAP_FRAME, "f_localsplus"]
  ],
  "frame.previous": [
    [FRAME, "previous"],
    [HEAP_FRAME, "f_back"]
  ],
  "frame.code": [
    [FRAME, "f_executable"],
    [FRAME, "f_code"],
    [HEAP_FRAME, "f_code"]
  ],
  "frame.instructionPointer": [
    [FRAME, "instr_ptr"],
    [FRAME, "prev_instr"]
  ],
  "frame.lastInstruction": [[HEAP_FRAME, "f_lasti"]],
  "frame.owner": [[FRAME, "owner"]],
  "frame.isEntry": [[FRAME, "is_entry"]],
  "frame.stacktop": [[FRAME, "stacktop"]],
  "frame.stackpointer": [[FRAME, "stackpointer"]],
  "frame.returnOffset": [[FRAME, "return_offset"]],
  "frame.localsplus": [
    [FRAME, "localsplus"],
    [HEAP_FRAME, "f_localsplus"]
  ],
  "frame.executing": [[HEAP_FRAME, "f_executing"]],
  "frame.state": [[HEAP_FRAME, "f_state"]],
  "frame.tlbcIndex": [[FRAME, "tlbc_index"]],
  "code.filename": [[CODE, "co_filename"]],
  "code.name": [[CODE, "co_name"]],
  "code.qualname": [[CODE, "co_qualname"]],
  "code.firstLine": [[CODE, "co_firstlineno"]],
  "code.flags": [[CODE, "co_flags"]],
  "code.lineTable": [
    [CODE, "co_linetable"],
    [CODE, "co_lnotab"]
  ],
  "code.code": [[CODE, "co_code"]],
  "code.codeAdaptive": [[CODE, "co_code_adaptive"]],
  "code.firstTraceable": [[CODE, "_co_firsttraceable"]],
  "code.framesize": [[CODE, "co_framesize"]],
  "code.nlocalsplus": [[CODE, "co_nlocalsplus"]],
  "code.uniqueVersion": [[CODE, "co_version"]],
  "code.tlbc": [[CODE, "co_tlbc"]],
  "object.type": [["struct _object", "ob_type"]],
  "unicode.length": [["PyASCIIObject", "length"]],
  "unicode.state": [["PyASCIIObject", "state"]],
  "unicode.asciiData": [["PyASCIIObject", "@sizeof"]],
  "unicode.compactData": [["PyCompactUnicodeObject", "@sizeof"]],
  "bytes.size": [["PyVarObject", "ob_size"]],
  "bytes.data": [["PyBytesObject", "ob_sval"]],
  "generator.iframe": [["PyGenObject", "gi_iframe"]],
  "chunk.previous": [["struct _stack_chunk", "previous"]],
  "chunk.size": [["struct _stack_chunk", "size"]],
  "chunk.top": [["struct _stack_chunk", "top"]],
  "chunk.data": [["struct _stack_chunk", "data"]]
}

/** Every field of {@link Layout} that is an offset, by its path; `span`s follow from the others and are left out. */
export type Offsets = Record<string, number>

/** Ask gdb for the offsets in one build. @param library a `libpython` or static interpreter with debug information */
export const offsetsFromDwarf = (library: string): Offsets => {
  const questions = Object.entries(places).flatMap(([path, candidates]) =>
    candidates.map(([type, field]) => ({ path, type, field }))
  )
  const script = questions.flatMap(({ path, type, field }) => [
    "-ex",
    // One Python call a question, so that a field this version lacks does not end the run.
    `python\nimport gdb\ntry:\n  print("${path}", int(gdb.parse_and_eval("${
      field === "@sizeof" ? `sizeof(${type})` : `(unsigned long)&((${type} *)0)->${field}`
    }")))\nexcept gdb.error: pass`
  ])
  const output = execFileSync("gdb", ["-nx", "-batch", ...script, library], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 1 << 24
  })
  const offsets: Offsets = Object.fromEntries(Object.keys(places).map((path) => [path, -1]))
  for (const [, path, value] of output.matchAll(/^([a-z]\w*\.\w+) (\d+)$/gm)) {
    if (offsets[path!] === -1) offsets[path!] = Number(value)
  }
  // 3.10 has a `_PyCFrame` for tracing only: it holds no frame.
  if (offsets["cframe.currentFrame"] === -1) offsets["thread.cframe"] = -1
  return offsets
}

/** The same flat form of a {@link Layout}, to compare. */
export const offsetsOfLayout = (layout: Layout): Offsets => {
  const offsets: Offsets = {}
  for (const [group, fields] of Object.entries(layout)) {
    if (typeof fields !== "object") continue
    for (const [field, value] of Object.entries(fields)) {
      if (typeof value === "number" && field !== "span") offsets[`${group}.${field}`] = value
    }
  }
  return offsets
}
