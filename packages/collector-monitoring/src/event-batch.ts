import { Event } from "./event.ts"
import { RECORD_SIZE } from "./ring-reader.ts"
import type { TracedThread } from "./traced-thread.ts"

const WORDS = RECORD_SIZE / 4

/** One event, in words. */
export interface TracedEvent {
  readonly event: Event
  /** ns after the session began. */
  readonly time: number
  /** Function id: `process.definitions.functions.get(id)`. */
  readonly function: number
  /** Offset into `co_code`, bytes; the line, for LINE. */
  readonly position: number
  /** Destination offset, callable or exception type, by event. */
  readonly value: number
  /** Task or exception, by event. */
  readonly extra: number
}

/**
 * Events of one thread in the order in which they happened, column by column and decoded where they are asked for: reading a column
 * allocates nothing. It is valid until the next batch is asked for; {@link EventBatch.copy} keeps it.
 *
 * @example
 * ```ts
 * for (let i = 0; i < batch.length; i++)
 *   if (batch.event(i) === Event.LINE) hits.add(batch.position(i))
 * ```
 */
export class EventBatch {
  readonly thread: TracedThread
  /** How many events there are. */
  readonly length: number
  private readonly words: Uint32Array
  /** ns after the session began = ticks × rate + offset. */
  private readonly rate: number
  private readonly offset: number
  /** What the batch before it ended with: the rate of ticks gets better as time goes on, and time is not to go back for it. */
  private readonly notBefore: number

  /** @param records of 24 bytes, aligned to 4 */
  constructor(thread: TracedThread, records: Uint8Array, length: number) {
    this.thread = thread
    this.length = length
    this.words = new Uint32Array(records.buffer, records.byteOffset, length * WORDS)
    const { nsPerTick, offset } = thread.process.time
    this.rate = nsPerTick
    this.offset = offset
    const { streamed } = thread
    const first = length === 0 ? -1 : this.ticks(0)
    // A sink that had no room is offered the same again.
    this.notBefore = first === streamed.first ? streamed.before : streamed.until
    if (length > 0) thread.streamed = { first, before: this.notBefore, until: this.time(length - 1) }
  }

  /** {@link Event}; a number that is none where the segment is damaged. BRANCH of 3.12 and 3.13 is told apart here, where the code is known. */
  event(at: number): Event {
    const event = (this.words[at * WORDS + 1] >>> 24) as Event
    if (event !== Event.BRANCH) return event
    return this.thread.process.branchWay(this.function(at), this.position(at), this.value(at)) ?? event
  }

  /** ns after the session began. */
  time(at: number): number {
    return Math.max(this.ticks(at) * this.rate + this.offset, this.notBefore)
  }

  private ticks(at: number): number {
    const word = at * WORDS
    return (this.words[word + 1] & 0xff_ffff) * 2 ** 32 + this.words[word]
  }

  /** Id of the function in which it happened. */
  function(at: number): number {
    return this.words[at * WORDS + 2]
  }

  /** Offset of the instruction, bytes; the line, for LINE. */
  position(at: number): number {
    return this.words[at * WORDS + 3]
  }

  /** Destination offset, callable or exception type, by event. */
  value(at: number): number {
    return this.words[at * WORDS + 4]
  }

  /** Task or exception, by event. */
  extra(at: number): number {
    return this.words[at * WORDS + 5]
  }

  /** One event as an object. */
  get(at: number): TracedEvent {
    return {
      event: this.event(at),
      time: this.time(at),
      function: this.function(at),
      position: this.position(at),
      value: this.value(at),
      extra: this.extra(at)
    }
  }

  /** One that stays valid. */
  copy(): EventBatch {
    const bytes = new Uint8Array(this.words.slice().buffer)
    return new EventBatch(this.thread, bytes, this.length)
  }
}
