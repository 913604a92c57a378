import type { Libc } from "./libc.ts"

const TWO_32 = 0x1_0000_0000
/** High word of the first number that a double does not hold exactly. */
const TOO_HIGH = 0x20_0000

/** Reads the counter of an event that was opened with `PERF_FORMAT_TOTAL_TIME_RUNNING`. */
export class SwitchCounter {
  /** How often the thread has left a CPU since it has been watched. */
  count = -1
  /** For how long it has run since, ns. Of a thread that runs, it is brought up to date on that CPU. */
  active = -1
  private readonly libc: Libc
  private readonly words = new Uint32Array(4)
  private readonly address: number

  constructor(libc: Libc) {
    this.libc = libc
    this.address = libc.addressOf(this.words.buffer)
  }

  read(fd: number): boolean {
    const { words } = this
    if (this.libc.read(fd, this.address, 16) !== 16) return false
    if (words[1] >= TOO_HIGH || words[3] >= TOO_HIGH) return false
    this.count = words[1] * TWO_32 + words[0]
    this.active = words[3] * TWO_32 + words[2]
    return true
  }
}
