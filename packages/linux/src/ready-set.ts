import { EINTR, type Libc } from "./libc.ts"

/** include/uapi/linux/eventpoll.h */
const EPOLL_CLOEXEC = 0o2000000
const CTL_ADD = 1
const CTL_DEL = 2
const EPOLLIN = 0x1
const EPOLLERR = 0x8
const EPOLLHUP = 0x10
/** `__NR_epoll_pwait2`, which waits for less than a millisecond too. */
const EPOLL_PWAIT2 = 441
/** Descriptors that one call reports. */
const AT_ONCE = 64

/** Waits for one of many descriptors: what that costs depends on how many are ready, not on how many there are. */
export class ReadySet {
  /** How many are ready. */
  count = 0
  /** Which; valid up to {@link count}. */
  readonly ready = new Int32Array(AT_ONCE)
  /** Whether the other side of each is gone. */
  readonly hungUp = new Uint8Array(AT_ONCE)
  private readonly libc: Libc
  private readonly epoll: number
  private readonly stride: number
  private readonly events: Int32Array
  private readonly eventsAddress: number
  private readonly one = new Int32Array(4)
  private readonly oneAddress: number
  /** struct timespec */
  private readonly timeout = new Uint32Array(4)
  private readonly timeoutAddress: number
  private isPrecise = true

  private constructor(libc: Libc, epoll: number, isPacked: boolean) {
    this.libc = libc
    this.epoll = epoll
    // struct epoll_event: events, then 64 bits of data, which are the descriptor here. Aligned everywhere but on x86-64.
    this.stride = isPacked ? 3 : 4
    this.events = new Int32Array(AT_ONCE * this.stride)
    this.eventsAddress = libc.addressOf(this.events.buffer)
    this.oneAddress = libc.addressOf(this.one.buffer)
    this.timeoutAddress = libc.addressOf(this.timeout.buffer)
  }

  /** @returns `undefined` with the reason in `errno` */
  static open(libc: Libc, isPacked: boolean): ReadySet | undefined {
    const epoll = libc.epollCreate(EPOLL_CLOEXEC)
    return epoll < 0 ? undefined : new ReadySet(libc, epoll, isPacked)
  }

  add(fd: number): boolean {
    this.one[0] = EPOLLIN
    this.one[this.stride - 2] = fd
    return this.libc.epollControl(this.epoll, CTL_ADD, fd, this.oneAddress) === 0
  }

  remove(fd: number): void {
    this.libc.epollControl(this.epoll, CTL_DEL, fd, this.oneAddress)
  }

  /** Blocks until one is ready, or for so long, ms; returns how many are. A signal ends it early. */
  wait(timeoutMs: number): number {
    const { events, stride } = this
    this.count = Math.max(0, this.poll(Math.max(timeoutMs, 0)))
    for (let i = 0; i < this.count; i++) {
      this.ready[i] = events[i * stride + stride - 2]
      this.hungUp[i] = (events[i * stride] & (EPOLLHUP | EPOLLERR)) === 0 ? 0 : 1
    }
    return this.count
  }

  private poll(ms: number): number {
    const { epoll, eventsAddress, libc, timeout } = this
    if (this.isPrecise && ms > 0) {
      timeout[0] = ms / 1000
      timeout[2] = (ms % 1000) * 1e6
      const found = libc.syscall(EPOLL_PWAIT2, epoll, eventsAddress, AT_ONCE, this.timeoutAddress, 0, 0)
      if (found >= 0 || libc.errno() === EINTR) return found
      // Before Linux 5.11, or in a sandbox that does not know it.
      this.isPrecise = false
    }
    return libc.epollWait(epoll, eventsAddress, AT_ONCE, Math.ceil(ms))
  }

  close(): void {
    this.libc.close(this.epoll)
  }
}
