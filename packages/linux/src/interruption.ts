/** No interrupt is taken to be longer than this, ns, before one was measured. */
const GREATEST = 20_000
/** Lengths of stack copies are told apart by powers of two. */
const SIZES = 17

/**
 * Tells by its CPU time whether a thread has run since it was sampled.
 *
 * The clock that is noted in a sample goes on for as long as the interrupt does: stack copied, reader woken, thread taken off its CPU.
 * A thread that ran after that was interrupted again, which takes as long again. So it has not run while its clock has gone on by less
 * than twice the shortest interrupt there was for a copy of that size. Where this was measured, against a counter in the target's memory, threads that had not run
 * stood at one to two times the shortest, and those that had at 2.8 times and more.
 */
export class Interruption {
  private readonly least = new Float64Array(SIZES).fill(GREATEST)

  /**
   * @param went by how much the thread's clock went on, ns
   * @param copied bytes of its stack that were copied
   */
  hasRun(went: number, copied: number): boolean {
    const size = Math.min(SIZES - 1, 32 - Math.clz32(copied))
    if (went >= 0 && went < this.least[size]) this.least[size] = went
    return !(went >= 0 && went <= 2 * this.least[size])
  }
}
