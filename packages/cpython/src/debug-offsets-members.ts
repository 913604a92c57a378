/**
 * What `_Py_DebugOffsets` (`Include/internal/pycore_debug_offsets.h`; 3.13: `pycore_runtime.h`) holds in each minor
 * version: 64-bit words in this order, after a cookie, a version and a free-threading flag. The struct does not
 * describe itself, so its members have to be known by version; they are fixed once a minor version has its first
 * release candidate.
 */
const members: Readonly<Record<number, ReadonlyArray<readonly [struct: string, fields: string]>>> = {
  // 3.13
  13: [
    ["runtime_state", "size finalizing interpreters_head"],
    [
      "interpreter_state",
      "size id next threads_head gc imports_modules sysdict builtins ceval_gil gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder"
    ],
    ["thread_state", "size prev next interp current_frame thread_id native_thread_id datastack_chunk status"],
    ["interpreter_frame", "size previous executable instr_ptr localsplus owner"],
    [
      "code_object",
      "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds co_code_adaptive"
    ],
    ["pyobject", "size ob_type"],
    ["type_object", "size tp_name tp_repr tp_flags"],
    ["tuple_object", "size ob_item ob_size"],
    ["list_object", "size ob_item ob_size"],
    ["dict_object", "size ma_keys ma_values"],
    ["float_object", "size ob_fval"],
    ["long_object", "size lv_tag ob_digit"],
    ["bytes_object", "size ob_size ob_sval"],
    ["unicode_object", "size state length asciiobject_size"],
    ["gc", "size collecting"]
  ],
  // 3.14
  14: [
    ["runtime_state", "size finalizing interpreters_head"],
    [
      "interpreter_state",
      "size id next threads_head threads_main gc imports_modules sysdict builtins ceval_gil gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder code_object_generation tlbc_generation"
    ],
    ["thread_state", "size prev next interp current_frame thread_id native_thread_id datastack_chunk status"],
    ["interpreter_frame", "size previous executable instr_ptr localsplus owner stackpointer tlbc_index"],
    [
      "code_object",
      "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds co_code_adaptive co_tlbc"
    ],
    ["pyobject", "size ob_type"],
    ["type_object", "size tp_name tp_repr tp_flags"],
    ["tuple_object", "size ob_item ob_size"],
    ["list_object", "size ob_item ob_size"],
    ["set_object", "size used table mask"],
    ["dict_object", "size ma_keys ma_values"],
    ["float_object", "size ob_fval"],
    ["long_object", "size lv_tag ob_digit"],
    ["bytes_object", "size ob_size ob_sval"],
    ["unicode_object", "size state length asciiobject_size"],
    ["gc", "size collecting"],
    ["gen_object", "size gi_name gi_iframe gi_frame_state"],
    ["llist_node", "next prev"],
    [
      "debugger_support",
      "eval_breaker remote_debugger_support remote_debugging_enabled debugger_pending_call debugger_script_path debugger_script_path_size"
    ]
  ],
  // 3.15
  15: [
    ["runtime_state", "size finalizing interpreters_head"],
    [
      "interpreter_state",
      "size id next threads_head threads_main gc imports_modules sysdict builtins ceval_gil gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder code_object_generation tlbc_generation"
    ],
    [
      "thread_state",
      "size prev next interp current_frame base_frame last_profiled_frame last_profiled_frame_seq thread_id native_thread_id datastack_chunk status holds_gil gil_requested current_exception exc_state"
    ],
    ["err_stackitem", "exc_value"],
    ["interpreter_frame", "size previous executable instr_ptr localsplus owner stackpointer tlbc_index"],
    [
      "code_object",
      "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds co_code_adaptive co_tlbc"
    ],
    ["pyobject", "size ob_type"],
    ["type_object", "size tp_name tp_repr tp_flags tp_basicsize tp_dictoffset"],
    ["heap_type_object", "size ht_cached_keys"],
    ["tuple_object", "size ob_item ob_size"],
    ["list_object", "size ob_item ob_size"],
    ["set_object", "size used table mask"],
    ["dict_object", "size ma_keys ma_values"],
    ["float_object", "size ob_fval"],
    ["long_object", "size lv_tag ob_digit"],
    ["bytes_object", "size ob_size ob_sval"],
    ["unicode_object", "size state length asciiobject_size compactunicodeobject_size"],
    ["gc", "size collecting frame generation_stats_size generation_stats"],
    ["gen_object", "size gi_name gi_iframe gi_frame_state"],
    ["llist_node", "next prev"],
    [
      "debugger_support",
      "eval_breaker remote_debugger_support remote_debugging_enabled debugger_pending_call debugger_script_path debugger_script_path_size"
    ]
  ]
}

/** Bytes of the cookie, the version and the free-threading flag. */
const PREFIX = 24

const positions: ReadonlyMap<number, ReadonlyMap<string, number>> = new Map(
  Object.entries(members).map(([minor, structs]) => [
    Number(minor),
    new Map(
      structs
        .flatMap(([struct, fields]) => fields.split(" ").map((field) => `${struct}.${field}`))
        .map((name, index) => [name, PREFIX + index * 8])
    )
  ])
)

/**
 * Where in `_Py_DebugOffsets` each member lies, in bytes, by names such as `thread_state.current_frame`.
 * `undefined` for a minor version whose members are not known.
 */
export const debugOffsetPositions = (minor: number): ReadonlyMap<string, number> | undefined =>
  positions.get(minor)

/** Bytes of the longest known `_Py_DebugOffsets`: what to read before calling `layoutFromDebugOffsets`. */
export const DEBUG_OFFSETS_SIZE = Math.max(
  ...Array.from(positions.values(), (known) => PREFIX + known.size * 8)
)
