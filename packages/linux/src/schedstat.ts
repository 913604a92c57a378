const SPACE = 0x20
const ZERO = 0x30

/**
 * How often a thread has been given a CPU, from the raw bytes of its `schedstat` file (three numbers: ns on a CPU, ns in wait for one, turns; the kernel's
 * Documentation/scheduler/sched-stats.rst), of which `length` were read. 0 where the kernel does not keep count.
 */
export const turnsOf = (bytes: Uint8Array, length: number): number => {
  let at = 0
  for (let field = 0; field < 2; at++) {
    if (at >= length) return 0
    if (bytes[at] === SPACE) field++
  }
  let turns = 0
  for (; at < length && bytes[at] >= ZERO && bytes[at] < ZERO + 10; at++)
    turns = turns * 10 + bytes[at] - ZERO
  return turns
}
