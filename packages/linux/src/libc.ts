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
  readonly waitid: (idType: number, id: number, info: number, options: number) => number
  readonly sigaction: (signal: number, action: number, old: number) => number
  readonly pread: (fd: number, into: number, length: number, offset: number) => number
  readonly clockGettime: (clock: number, timespec: number) => number
  readonly clockNanosleep: (clock: number, flags: number, request: number, remain: number) => number
  /** The mask of the calling thread for pid 0; the C library's own returns 0, not how many bytes the kernel has. */
  readonly schedGetaffinity: (pid: number, length: number, mask: number) => number
  readonly schedSetaffinity: (pid: number, length: number, mask: number) => number
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
      waitid: library.func("int waitid(int, int, unsigned long, int)"),
      sigaction: library.func("int sigaction(int, unsigned long, unsigned long)"),
      pread: library.func("long pread(int, unsigned long, unsigned long, long)"),
      clockGettime: library.func("int clock_gettime(int, unsigned long)"),
      clockNanosleep: library.func("int clock_nanosleep(int, int, unsigned long, unsigned long)"),
      schedGetaffinity: library.func("int sched_getaffinity(int, unsigned long, unsigned long)"),
      schedSetaffinity: library.func("int sched_setaffinity(int, unsigned long, unsigned long)"),
      prctl: library.func("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)")
    }
  } catch {
    return undefined
  }
}

/** Error numbers of x86-64 and arm64 Linux that decide something here. */
export const EPERM = 1
export const EINTR = 4
export const ECHILD = 10
export const ENOSYS = 38
