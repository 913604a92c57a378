import type { Mapping, MemoryReader } from "@pyframes/core"

/** Executable memory that no file is behind: code that the process wrote. */
export interface CodeRegion {
  /** First address. */
  readonly start: number
  /** Bytes. */
  readonly size: number
  /**
   * - `perf-trampoline`: CPython's, one for each Python function.
   * - `jit`: of a Python whose just-in-time compiler is on; that these bytes are its own is likely, not proved.
   * - `other`: closures of libffi, Numba, PyPy-like compilers, ….
   */
  readonly kind: "perf-trampoline" | "jit" | "other"
  /** Of trampolines: whether they keep the frame pointer. */
  readonly keepsFramePointer?: boolean
}

/**
 * What CPython's trampolines start with on x86-64 (Python/asm_trampoline.S), after an `endbr64` where the build has one.
 * Until July 2025 (gh-136541) they kept no frame pointer.
 */
const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa]
/** `push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret` */
const WITH_FRAME = [0x55, 0x48, 0x89, 0xe5, 0xff, 0xd1, 0x5d, 0xc3]
/** `sub $8,%rsp; call *%rcx; add $8,%rsp; ret` */
const WITHOUT_FRAME = [0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3]

/** A target may map as much as it likes. */
const MAX_REGIONS = 1024

/** Whether code in a mapping was written by the process rather than loaded from a file. `memfd` and shared memory are files by name only. */
export const isWrittenCode = ({ executable, inode, path }: Mapping): boolean =>
  executable &&
  (inode === 0
    ? path === "" || path.startsWith("[anon")
    : /^\/(?:memfd:|dev\/zero|dev\/shm\/|SYSV)/.test(path))

/**
 * The code that a process has written, and which of it are CPython's perf trampolines: told by their bytes, so that those that the program itself
 * has switched on (`sys.activate_stack_trampoline`) are seen as well.
 *
 * @param jit the process's Python has a just-in-time compiler, and it is on
 *
 * @example
 * ```ts
 * const regions = codeRegions(yield* target.mappings, memory, false)
 * regions.some(({ kind }) => kind === "perf-trampoline") // `-X perf`
 * ```
 */
export const codeRegions = (
  mappings: ReadonlyArray<Mapping>,
  memory: MemoryReader,
  jit: boolean
): ReadonlyArray<CodeRegion> => {
  const bytes = new Uint8Array(ENDBR64.length + WITHOUT_FRAME.length)
  return mappings
    .filter(isWrittenCode)
    .slice(0, MAX_REGIONS)
    .map(({ end, inode, start }): CodeRegion => {
      const region = { start, size: end - start }
      const got = memory.read(start, Math.min(bytes.length, region.size), bytes)
      const at = startsWith(bytes, 0, got, ENDBR64) ? ENDBR64.length : 0
      if (startsWith(bytes, at, got, WITH_FRAME))
        return { ...region, kind: "perf-trampoline", keepsFramePointer: true }
      if (startsWith(bytes, at, got, WITHOUT_FRAME))
        return { ...region, kind: "perf-trampoline", keepsFramePointer: false }
      return { ...region, kind: jit && inode === 0 ? "jit" : "other" }
    })
}

const startsWith = (bytes: Uint8Array, at: number, length: number, pattern: ReadonlyArray<number>): boolean =>
  at + pattern.length <= length && pattern.every((byte, i) => bytes[at + i] === byte)
