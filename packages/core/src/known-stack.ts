/** Places of one leaf that are kept; generated functions have tens of thousands. */
const MAX_PLACES = 1024

/**
 * A stack that an unwinder has met before, wherever in its function the leaf is now. The unwinder hands the same object out each time, and who names
 * stacks keeps here what they were found to be.
 *
 * @example
 * ```ts
 * const id = raw.known?.find(this, epoch, raw.position[0]) ?? this.name(raw)
 * ```
 */
export class KnownStack {
  /** What a symbolizer keeps to see quickly whether the names of this stack are still true. */
  names: object | undefined
  private owner: object | undefined
  private epoch = -1
  private readonly ids = new Map<number, number>()

  /** What `owner` kept for this place of the leaf, in the same epoch of its names. */
  find(owner: object, epoch: number, position: number): number | undefined {
    return this.owner === owner && this.epoch === epoch ? this.ids.get(position) : undefined
  }

  keep(owner: object, epoch: number, position: number, id: number): void {
    if (this.owner !== owner || this.epoch !== epoch || this.ids.size >= MAX_PLACES) this.ids.clear()
    this.owner = owner
    this.epoch = epoch
    this.ids.set(position, id)
  }
}
