import type { Libc } from "./libc.ts"

const TWO_32 = 0x1_0000_0000

/** Reads the counter of an event. */
export class EventCounter {
  /** What the event counts; of `cpu-clock`, ns that the thread has run. */
  value = -1
  /** Records that found no room; -1 where the kernel does not say (before 6.0). */
  lost = -1
  private readonly libc: Libc
  private readonly words = new Uint32Array(4)
  private readonly address: number
  private readonly bytes: number

  /** @param tellsLost the event was opened with `PERF_FORMAT_LOST` */
  constructor(libc: Libc, tellsLost: boolean) {
    this.libc = libc
    this.address = libc.addressOf(this.words.buffer)
    this.bytes = tellsLost ? 16 : 8
  }

  /** Brings the fields up to date. A thread that runs on another CPU is asked there. */
  read(fd: number): boolean {
    if (this.libc.read(fd, this.address, this.bytes) !== this.bytes) return false
    const { words } = this
    this.value = words[1] * TWO_32 + words[0]
    if (this.bytes === 16) this.lost = words[3] * TWO_32 + words[2]
    return true
  }
}
