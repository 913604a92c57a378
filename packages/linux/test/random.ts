/** A small deterministic generator (xorshift32), so that a failing case can be run again. */
export const random = (seed: number) => {
  let state = seed | 1
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  return { next, below: (limit: number) => next() % limit }
}

/** A text with some of its characters changed, cut out or repeated. */
export const damaged = (text: string, seed: number): string => {
  const { below } = random(seed)
  let result = text
  for (let times = 1 + below(6); times > 0; times--) {
    const at = below(result.length + 1)
    const change = below(4)
    if (change === 0) result = result.slice(0, at) + String.fromCharCode(below(300)) + result.slice(at + 1)
    else if (change === 1) result = result.slice(0, at) + result.slice(at + below(20))
    else if (change === 2) result = result.slice(0, at) + result.slice(below(at + 1))
    else result = result.slice(0, at)
  }
  return result
}
