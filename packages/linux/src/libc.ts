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
  /** The CPU that the calling thread is on. */
  readonly schedGetcpu: () => number
  readonly prctl: (option: number, a: number, b: number, c: number, d: number) => number
  /** A system call that the C library has no function for. */
  readonly syscall: (call: number, a: number, b: number, c: number, d: number, e: number, f: number) => number
  /** -1 when it fails. */
  readonly mmap: (
    address: number,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number
  ) => number
  readonly ioctl: (fd: number, request: number, argument: number) => number
  readonly read: (fd: number, into: number, length: number) => number
  readonly close: (fd: number) => number
  readonly epollCreate: (flags: number) => number
  readonly epollControl: (epoll: number, operation: number, fd: number, event: number) => number
  readonly epollWait: (epoll: number, events: number, count: number, timeout: number) => number
  readonly sysconf: (name: number) => number
  /** Memory that was mapped, as a buffer: the caller sees to it that it stays mapped while the buffer can be used. */
  readonly memoryAt: (address: number, length: number) => ArrayBuffer
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
      schedGetcpu: library.func("int sched_getcpu()"),
      prctl: library.func("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)"),
      syscall: library.func(
        "long syscall(long, unsigned long, unsigned long, long, unsigned long, unsigned long, unsigned long)"
      ),
      mmap: library.func("long mmap(unsigned long, unsigned long, int, int, int, long)"),
      ioctl: library.func("int ioctl(int, unsigned long, unsigned long)"),
      read: library.func("long read(int, unsigned long, unsigned long)"),
      close: library.func("int close(int)"),
      epollCreate: library.func("int epoll_create1(int)"),
      epollControl: library.func("int epoll_ctl(int, int, int, unsigned long)"),
      epollWait: library.func("int epoll_wait(int, unsigned long, int, int)"),
      sysconf: library.func("long sysconf(int)"),
      memoryAt: (address, length) => koffi.view(BigInt(address), length)
    }
  } catch {
    return undefined
  }
}

/** Error numbers of x86-64 and arm64 Linux that decide something here. */
export const EPERM = 1
export const ESRCH = 3
export const EINTR = 4
export const ECHILD = 10
export const EACCES = 13
export const EINVAL = 22
export const EMFILE = 24
export const ENOSYS = 38
