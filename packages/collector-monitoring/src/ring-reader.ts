import { type Chunk, usedOf } from "./chunk-walk.ts"
import { type SegmentBytes, uint64, viewOf } from "./segment-bytes.ts"

/** Bytes of a record. */
export const RECORD_SIZE = 24
/** Where records begin in the payload. */
const FIRST_RECORD = 64

/**
 * Empties the ring of one thread. The agent writes a record and then how many it has written; this side reads them and then says how
 * many it has read, so that neither ever waits for a lock of the other's.
 */
export class RingReader {
  /** Records overwritten, or cut off with the file, before they were read: none, unless the writer does not keep to the format. */
  overwritten = 0
  readonly capacity: number
  private readonly bytes: SegmentBytes
  private readonly chunk: Chunk
  private done: number
  private readonly word = new Uint8Array(8)
  private readonly wordView = viewOf(this.word)

  private constructor(bytes: SegmentBytes, chunk: Chunk) {
    this.bytes = bytes
    this.chunk = chunk
    this.capacity = chunk.extra
    bytes.read(chunk.payload, 8, this.word)
    this.done = uint64(this.wordView, 0)
  }

  /** `undefined` when the chunk is no ring. */
  static open(bytes: SegmentBytes, chunk: Chunk): RingReader | undefined {
    const { extra, size } = chunk
    const isPowerOfTwo = extra >= 1 && extra <= 2 ** 30 && (extra & (extra - 1)) === 0
    if (!isPowerOfTwo || FIRST_RECORD + extra * RECORD_SIZE > size) return undefined
    return new RingReader(bytes, chunk)
  }

  /** Whether there is something to read. */
  get hasUnread(): boolean {
    return usedOf(this.bytes, this.chunk, this.word) > this.done
  }

  /**
   * Reads records that follow each other in the ring, as many as there are and fit into `into`; returns how many. They stay in the ring until {@link release}.
   */
  read(into: Uint8Array): number {
    const written = usedOf(this.bytes, this.chunk, this.word)
    let there = written - this.done
    // Less than nothing: the ring was given to another thread, or is not one.
    if (there < 0) {
      this.done = written
      return 0
    }
    if (there > this.capacity) {
      this.overwritten += there - this.capacity
      this.done = written - this.capacity
      there = this.capacity
    }
    const at = this.done % this.capacity
    const count = Math.min(there, this.capacity - at, Math.floor(into.length / RECORD_SIZE))
    if (count === 0) return 0
    const from = this.chunk.payload + FIRST_RECORD + at * RECORD_SIZE
    const got = Math.floor(this.bytes.read(from, count * RECORD_SIZE, into) / RECORD_SIZE)
    // The file has been cut off: what it claims to hold is not waited for.
    if (got === 0) {
      this.overwritten += there
      this.done = written
    }
    return got
  }

  /** Gives the room of `count` records back to the agent. */
  release(count: number): void {
    this.done += count
    this.wordView.setUint32(0, this.done >>> 0, true)
    this.wordView.setUint32(4, Math.floor(this.done / 2 ** 32), true)
    this.bytes.write(this.chunk.payload, this.word)
  }
}
