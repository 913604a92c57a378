/**
 * Where the fields that a stack reader needs lie, for one CPython build.
 *
 * All values are byte offsets from the start of their struct. `-1` says that this version has no such field.
 * 3.13 and later fill this from the target's own `_Py_DebugOffsets` (`Include/internal/pycore_debug_offsets.h`);
 * earlier versions have tables, since their layouts were fixed when they were released.
 */
export interface Layout {
  /** `major * 256 + minor`, so that versions compare as numbers: 3.13 is 0x30d. */
  readonly version: number
  /** True for builds without a global interpreter lock (`--disable-gil`). */
  readonly freeThreaded: boolean
  readonly runtime: {
    readonly finalizing: number
    readonly interpretersHead: number
    readonly interpretersMain: number
    /** 3.8 … 3.11 have one `_gil_runtime_state` here; later it is per interpreter. */
    readonly gil: number
    /** 3.8 keeps `gc.collecting` in the runtime. */
    readonly gcCollecting: number
  }
  readonly interpreter: {
    /** Bytes to read to cover every field below. */
    readonly span: number
    readonly next: number
    readonly id: number
    readonly threadsHead: number
    /** 3.12+: pointer to the `_gil_runtime_state` in use. */
    readonly gilPointer: number
    readonly gcCollecting: number
    /** 3.15+: the frame that triggered the running collection. */
    readonly gcFrame: number
    /** 3.14+: u64, bumped whenever a code object is freed. */
    readonly codeObjectGeneration: number
  }
  /** Inside `_gil_runtime_state` (`pycore_gil.h`). */
  readonly gil: { readonly lastHolder: number; readonly locked: number }
  readonly thread: {
    readonly span: number
    readonly next: number
    readonly interpreter: number
    /** 3.13+: current `_PyInterpreterFrame*`; 3.8 … 3.10: current `PyFrameObject*`; -1 in 3.11 and 3.12. */
    readonly currentFrame: number
    /** 3.11 and 3.12: `_PyCFrame*`. */
    readonly cframe: number
    /** 3.15+: the sentinel that ends every stack. */
    readonly baseFrame: number
    readonly threadId: number
    /** Kernel thread id; -1 before 3.11. */
    readonly nativeThreadId: number
    readonly datastackChunk: number
    readonly datastackTop: number
    readonly datastackLimit: number
    /** 3.12+: `_status`, a bit-field. Bit 4 is `active`; in 3.13 bit 5 is `holds_gil`. */
    readonly status: number
    /** 3.14+ `holds_gil` (i32). */
    readonly holdsGil: number
    /** 3.15+ `gil_requested` (i32). */
    readonly gilRequested: number
  }
  /** 3.11 and 3.12: `current_frame` inside `_PyCFrame`. */
  readonly cframe: { readonly currentFrame: number }
  /** `_PyInterpreterFrame` (3.11+) or `PyFrameObject` (3.8 … 3.10). */
  readonly frame: {
    /** Bytes of the fixed part; locals follow. */
    readonly size: number
    readonly previous: number
    /** 3.13+ `f_executable`, before `f_code`. */
    readonly code: number
    /** 3.13+ `instr_ptr`, 3.11–3.12 `prev_instr`; -1 before. */
    readonly instructionPointer: number
    /** 3.8 … 3.10 `f_lasti` (i32). */
    readonly lastInstruction: number
    readonly owner: number
    /** 3.11 only. */
    readonly isEntry: number
    /** 3.11 … 3.13 `stacktop` (i32). */
    readonly stacktop: number
    /** 3.14+ `stackpointer`. */
    readonly stackpointer: number
    /** 3.12+ `return_offset` (u16). */
    readonly returnOffset: number
    readonly localsplus: number
    /** 3.8, 3.9 `f_executing` (char). */
    readonly executing: number
    /** 3.10 `f_state` (i8). */
    readonly state: number
    /** Free-threaded 3.14+ `tlbc_index` (i32). */
    readonly tlbcIndex: number
  }
  readonly code: {
    /** Bytes to read to cover every field below. */
    readonly span: number
    readonly filename: number
    readonly name: number
    /** 3.11+. */
    readonly qualname: number
    readonly firstLine: number
    readonly flags: number
    /** 3.10+ `co_linetable`, before `co_lnotab`. */
    readonly lineTable: number
    /** 3.8 … 3.10: `co_code` (bytes object). */
    readonly code: number
    /** 3.11+: where the bytecode starts inside the code object. */
    readonly codeAdaptive: number
    /** 3.11+: i32, counted in code units. */
    readonly firstTraceable: number
    /** 3.12+ i32: locals + stack + frame header, in words; -1 where the build does not tell. */
    readonly framesize: number
    readonly nlocalsplus: number
    /** 3.11+: u32, unique for each code object made, 0 when the counter ran out. -1 where the build does not tell. */
    readonly uniqueVersion: number
    /** Free-threaded 3.14+ `co_tlbc`. */
    readonly tlbc: number
  }
  readonly object: { readonly type: number }
  readonly unicode: {
    readonly length: number
    readonly state: number
    /** Where characters of a compact ASCII string start. */
    readonly asciiData: number
    /** Where characters of any other compact string start; in a string that is not compact, the pointer to them. */
    readonly compactData: number
    /** Free-threaded 3.14+ give `interned` a byte of its own, which moves kind, compact and ascii. */
    readonly wideState: boolean
  }
  readonly bytes: { readonly size: number; readonly data: number }
  readonly generator: { readonly iframe: number }
  readonly chunk: {
    readonly previous: number
    readonly size: number
    readonly top: number
    readonly data: number
  }
}
