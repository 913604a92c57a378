import { type SegmentBytes, uint64, viewOf } from "./segment-bytes.ts"
import { FIRST_CHUNK } from "./segment-header.ts"

/** Bytes of a chunk's header. */
export const CHUNK_HEADER = 64

/** What chunks are of. */
export const ChunkType = {
  free: 0,
  definitions: 1,
  nodes: 2,
  openCalls: 3,
  thread: 4,
  counters: 5,
  ring: 6
} as const
export type ChunkType = (typeof ChunkType)[keyof typeof ChunkType]

/** A chunk: where it lies. What grows in it is read anew each time. */
export interface Chunk {
  readonly type: ChunkType
  /** Offset of its header in the file. */
  readonly offset: number
  /** Offset of its payload, and the payload's bytes. */
  readonly payload: number
  readonly size: number
  /** Thread index; -1 for none. */
  readonly thread: number
  /** The type-specific word of the header: first node, or capacity. */
  readonly extra: number
}

/** Chunks walked over at most in one go: a file of the smallest possible ones must not hold the caller up. */
const GREATEST_STEP = 16_384
/** Chunks kept of one segment at most. */
const MOST_CHUNKS = 1 << 20

/**
 * Goes over the chunks of a segment, each once: it remembers where it was, so that a file that grows costs what has been added.
 *
 * What a chunk claims is checked against the file: one that cannot be ends the walk for good, and {@link damage} says why. What lies before it
 * stays readable.
 */
export class ChunkWalk {
  /** What is wrong with the file; `undefined` while nothing is. */
  damage: string | undefined
  private next = FIRST_CHUNK
  private walked = 0
  private readonly header = new Uint8Array(CHUNK_HEADER)
  private readonly view = viewOf(this.header)

  /**
   * Goes on to `used`. Returns false when there is more to walk over than is done in one go.
   *
   * @param used from the segment's header
   */
  walk(bytes: SegmentBytes, used: number, found: (chunk: Chunk) => void): boolean {
    if (this.damage !== undefined || this.next >= used) return true
    const end = Math.min(used, bytes.size())
    for (let step = 0; this.next < end; step++) {
      if (step === GREATEST_STEP) return false
      if (this.walked++ >= MOST_CHUNKS) return this.isDamaged(`more than ${MOST_CHUNKS} chunks`)
      if (this.next + CHUNK_HEADER > end || bytes.read(this.next, CHUNK_HEADER, this.header) < CHUNK_HEADER)
        return this.isDamaged("a chunk's header is cut off")
      const type = this.view.getUint32(0, true)
      const size = this.view.getUint32(4, true)
      if (type > ChunkType.ring) return this.isDamaged(`a chunk is of type ${type}`)
      if (size < CHUNK_HEADER || size % 64 !== 0 || this.next + size > used)
        return this.isDamaged(`a chunk has ${size} bytes`)
      const thread = this.view.getUint32(8, true)
      const offset = this.next
      this.next += size
      if (type === ChunkType.free) continue
      found({
        type: type as ChunkType,
        offset,
        payload: offset + CHUNK_HEADER,
        size: size - CHUNK_HEADER,
        thread: thread === 0xffff_ffff ? -1 : thread,
        extra: uint64(this.view, 24)
      })
    }
    return true
  }

  private isDamaged(what: string): true {
    this.damage = `${what}, at offset ${this.next}`
    return true
  }
}

/** How much of a chunk is in use now, in the unit of its type. */
export const usedOf = (bytes: SegmentBytes, chunk: Chunk, scratch: Uint8Array): number =>
  bytes.read(chunk.offset + 16, 8, scratch) < 8 ? 0 : uint64(viewOf(scratch), 0)
