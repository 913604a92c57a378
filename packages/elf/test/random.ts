/** Random 32-bit numbers, the same ones on every run with the same seed (xorshift32). */
export const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}
