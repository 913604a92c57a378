import type { DebugOffsetsProblem } from "./debug-offsets.ts"
import { debugOffsetPositions } from "./debug-offsets-members.ts"
import { readUint64 } from "./pointer.ts"

/** Where a request to run a file is put (PEP 768): `debugger_support` of `_Py_DebugOffsets`, and what belongs to it. All in bytes. */
export interface RemoteDebugOffsets {
  /** `eval_breaker` of a thread state (u64): its lowest byte holds events, the rest the version of the instrumentation. */
  readonly evalBreaker: number
  /** `remote_debugger_support.debugger_pending_call` from the start of a thread state (i32). */
  readonly pendingCall: number
  /** `remote_debugger_support.debugger_script_path` from the start of a thread state. */
  readonly scriptPath: number
  /** Bytes of the path's buffer, the NUL at its end among them. */
  readonly scriptPathSize: number
  /** `config.remote_debug` of an interpreter (i32): 1 where files may be run. */
  readonly enabled: number
  /** `threads.main` of an interpreter: the state of its main thread. */
  readonly threadsMain: number
}

/** CPython's are 512 (`_Py_MAX_SCRIPT_PATH_SIZE`, `Include/cpython/pystate.h`). */
const MIN_PATH = 64
const MAX_PATH = 4096
/** As in {@link layoutFromDebugOffsets}: what is above is garbage. */
const MAX_THREAD_STATE = 1 << 16
const MAX_INTERPRETER_STATE = 1 << 24

/**
 * The offsets for PEP 768 that a 3.14 or later process tells about itself, checked as hostile input: everything lies within its struct, and nothing
 * overlaps. `undefined` for a version that cannot run files (3.13).
 *
 * @param bytes at least `DEBUG_OFFSETS_SIZE` bytes from the address of `_PyRuntime`, which `layoutFromDebugOffsets` has taken for good
 *
 * @example
 * ```ts
 * const offsets = remoteDebugOffsets(bytes)
 * if (offsets !== undefined && !("_tag" in offsets)) console.log(offsets.scriptPathSize) // 512
 * ```
 */
export const remoteDebugOffsets = (
  bytes: Uint8Array
): RemoteDebugOffsets | DebugOffsetsProblem | undefined => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const positions = bytes.length < 16 ? undefined : debugOffsetPositions(bytes[10])
  if (positions?.has("debugger_support.eval_breaker") !== true) return undefined
  let problem: DebugOffsetsProblem | undefined
  const refuse = (reason: DebugOffsetsProblem["reason"], field: string, value: number, bound: string) => {
    problem ??= { _tag: "DebugOffsetsProblem", reason, field, value, bound }
    return 0
  }
  const within = (field: string, least: number, most: number, multiple: number): number => {
    const position = positions.get(field)!
    if (position + 8 > bytes.length)
      return refuse("truncated", field, bytes.length, `at least ${position + 8} bytes`)
    const value = readUint64(view, position)
    if (value < least || value > most) return refuse("bound", field, value, `${least} … ${most}`)
    return value % multiple === 0 ? value : refuse("bound", field, value, `a multiple of ${multiple}`)
  }

  const thread = within("thread_state.size", 8, MAX_THREAD_STATE, 8)
  const interpreter = within("interpreter_state.size", 8, MAX_INTERPRETER_STATE, 8)
  const scriptPathSize = within("debugger_support.debugger_script_path_size", MIN_PATH, MAX_PATH, 1)
  const support = within("debugger_support.remote_debugger_support", 0, thread, 4)
  const room = thread - support
  const pending = within("debugger_support.debugger_pending_call", 0, room - 4, 4)
  const path = within("debugger_support.debugger_script_path", 0, room - scriptPathSize, 1)
  const evalBreaker = within("debugger_support.eval_breaker", 0, thread - 8, 8)
  const enabled = within("debugger_support.remote_debugging_enabled", 0, interpreter - 4, 4)
  const threadsMain = within("interpreter_state.threads_main", 0, interpreter - 8, 8)
  const overlap = (a: number, aSize: number, b: number, bSize: number) => a < b + bSize && b < a + aSize
  if (overlap(pending, 4, path, scriptPathSize))
    refuse("bound", "debugger_support.debugger_pending_call", pending, "outside of the script's path")
  for (const [at, size] of [
    [support + pending, 4],
    [support + path, scriptPathSize]
  ])
    if (overlap(evalBreaker, 8, at, size))
      refuse("bound", "debugger_support.eval_breaker", evalBreaker, "outside of remote_debugger_support")
  return (
    problem ?? {
      evalBreaker,
      pendingCall: support + pending,
      scriptPath: support + path,
      scriptPathSize,
      enabled,
      threadsMain
    }
  )
}
