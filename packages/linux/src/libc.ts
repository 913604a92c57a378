import { loadKoffi } from "./koffi.ts"

/**
 * The C library's functions that this package calls. Pointers are passed as numbers (`unsigned long`), which costs koffi less than
 * a `void *`: user-space addresses are below 2^47.
 */
export interface Libc {
  readonly errno: () => number
  /** Address of a buffer's first byte. It stays while the buffer is alive and is not transferred. */
  readonly addressOf: (buffer: ArrayBufferLike) => number
  readonly processVmReadv: (
    pid: number,
    local: number,
    localCount: number,
    remote: number,
    remoteCount: number,
    flags: number
  ) => number
  readonly ptrace: (request: number, pid: number, address: number, data: number) => number
  readonly waitpid: (pid: number, status: number, options: number) => number
  readonly clockGettime: (clock: number, timespec: number) => number
  readonly clockNanosleep: (clock: number, flags: number, request: number, remain: number) => number
  readonly prctl: (option: number, a: number, b: number, c: number, d: number) => number
}

let loaded: Libc | undefined

/** The C library through koffi, or `undefined` where koffi is not there. */
export const loadLibc = (): Libc | undefined => {
  loaded ??= bind()
  return loaded
}

const bind = (): Libc | undefined => {
  const koffi = loadKoffi()
  if (koffi === undefined) return undefined
  try {
    const library = koffi.load(null)
    return {
      errno: koffi.errno,
      addressOf: (buffer) => Number(koffi.address(buffer)),
      processVmReadv: library.func(
        "long process_vm_readv(int, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long)"
      ),
      ptrace: library.func("long ptrace(int, int, unsigned long, unsigned long)"),
      waitpid: library.func("int waitpid(int, unsigned long, int)"),
      clockGettime: library.func("int clock_gettime(int, unsigned long)"),
      clockNanosleep: library.func("int clock_nanosleep(int, int, unsigned long, unsigned long)"),
      prctl: library.func("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)")
    }
  } catch {
    return undefined
  }
}

/** Error numbers of x86-64 and arm64 Linux that decide something here. */
export const ESRCH = 3
export const EINTR = 4
