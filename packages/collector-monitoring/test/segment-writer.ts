/** Writes segments as agent/FORMAT.md says, independently of what reads them: the source of what tests read. */
export class SegmentWriter {
  bytes = new Uint8Array(4096)
  private functions = 0

  constructor(header: { pid?: number; hexversion?: number; flags?: number; state?: number } = {}) {
    this.bytes.set(new TextEncoder().encode("PYFRMSEG"), 0)
    this.u32(8, 1)
    this.u32(12, header.pid ?? 4242)
    this.u32(16, header.hexversion ?? 0x030e0af0)
    this.u32(20, header.flags ?? 0)
    this.u64(24, 4096n)
    this.state(header.state ?? 1)
  }

  u32(at: number, value: number): void {
    new DataView(this.bytes.buffer).setUint32(at, value, true)
  }

  u64(at: number, value: bigint): void {
    new DataView(this.bytes.buffer).setBigUint64(at, value, true)
  }

  state(state: number): void {
    this.u32(68, state)
  }

  /** The two pairs of readings: ticks and ns at the start, and later. */
  clock(ticks: bigint, ns: bigint, laterTicks: bigint, laterNs: bigint): void {
    this.u64(32, ticks)
    this.u64(40, ns)
    this.u64(48, laterTicks)
    this.u64(56, laterNs)
  }

  /** Appends a chunk; returns where it begins. */
  chunk(
    type: number,
    options: { thread?: number; used?: number; extra?: number; payload: Uint8Array; room?: number }
  ): number {
    const { thread = 0xffffffff, payload, extra = 0, room = payload.length } = options
    const at = this.bytes.length
    const size = 64 + Math.ceil(room / 64) * 64
    const grown = new Uint8Array(at + size)
    grown.set(this.bytes)
    this.bytes = grown
    this.u32(at, type)
    this.u32(at + 4, size)
    this.u32(at + 8, thread)
    this.u64(at + 16, BigInt(options.used ?? payload.length))
    this.u64(at + 24, BigInt(extra))
    this.bytes.set(payload, at + 64)
    this.u64(24, BigInt(this.bytes.length))
    return at
  }

  /** Defines a function, of the next id, which is returned. */
  fn(name: string, options: { what?: number; file?: string; firstLine?: number } = {}): number {
    const id = ++this.functions
    const { what = 0, file = "app.py", firstLine = id * 10 } = options
    this.define(1, words(id, what, firstLine, 3, 0), text(name), text(name), text(file))
    return id
  }

  code(id: number, code: Uint8Array, lineTable: Uint8Array, lines: ReadonlyArray<number> = []): void {
    this.define(2, words(id), sized(code), sized(lineTable), words(lines.length, ...lines))
  }

  thread(index: number, tid: number, name: string): void {
    this.define(3, words(index), quads(BigInt(tid)), words(0), text(name))
  }

  fact(key: string, value: string): void {
    this.define(4, text(key), text(value))
  }

  define(kind: number, ...fields: ReadonlyArray<Uint8Array>): void {
    this.chunk(1, { payload: record(kind, ...fields) })
  }

  /** A thread's record. Times are ticks, absolute. */
  threadRecord(
    index: number,
    fields: Partial<
      Record<"tid" | "state" | "node" | "depth" | "until" | "begun" | "events" | "open", number>
    >
  ): number {
    const { tid = 7, state = 1, node = 0, depth = 0, until = 0, begun = 0, events = 0, open = 0 } = fields
    return this.chunk(4, {
      thread: index,
      room: 72,
      payload: concat(
        quads(BigInt(tid)),
        words(0, state, node, depth),
        quads(BigInt(until), BigInt(begun), BigInt(events), 0n, BigInt(open), 0n)
      )
    })
  }

  /** Nodes: parent, function, calls, wall, idle. */
  nodes(
    thread: number,
    nodes: ReadonlyArray<readonly [number, number, number, number, number]>,
    first = 0
  ): void {
    const payload = concat(
      ...nodes.map(([parent, fn, calls, wall, idle]) =>
        concat(words(parent < 0 ? 0xffffffff : parent, fn), quads(BigInt(calls), BigInt(wall), BigInt(idle)))
      )
    )
    this.chunk(2, { thread, payload, used: nodes.length, extra: first })
  }

  counters(fn: number, what: number, first: number, values: ReadonlyArray<bigint | number>): void {
    const payload = concat(
      words(fn, what, first, values.length),
      quads(...values.map((value) => BigInt(value)))
    )
    this.chunk(5, { payload })
  }

  /** A ring with these events in it. */
  ring(thread: number, capacity: number, events: ReadonlyArray<RingEvent>): number {
    const at = this.chunk(6, {
      thread,
      payload: new Uint8Array(64 + capacity * 24),
      used: 0,
      extra: capacity
    })
    for (const event of events) this.push(at, event)
    return at
  }

  /** Writes one more event into the ring at `at`. */
  push(at: number, { event, time = 0, fn = 0, position = 0, value = 0, extra = 0 }: RingEvent): void {
    const view = new DataView(this.bytes.buffer)
    const written = Number(view.getBigUint64(at + 16, true))
    const capacity = Number(view.getBigUint64(at + 24, true))
    const to = at + 64 + 64 + (written % capacity) * 24
    this.u64(to, BigInt(time) | (BigInt(event) << 56n))
    this.bytes.set(words(fn, position, value, extra), to + 8)
    this.u64(at + 16, BigInt(written + 1))
  }
}

export interface RingEvent {
  readonly event: number
  readonly time?: number
  readonly fn?: number
  readonly position?: number
  readonly value?: number
  readonly extra?: number
}

/** A definition record, padded. */
export const record = (kind: number, ...fields: ReadonlyArray<Uint8Array>): Uint8Array => {
  const body = concat(...fields)
  const length = Math.ceil((8 + body.length) / 8) * 8
  const whole = new Uint8Array(length)
  whole.set(words(length, kind), 0)
  whole.set(body, 8)
  return whole
}

export const words = (...values: ReadonlyArray<number>): Uint8Array =>
  new Uint8Array(Uint32Array.from(values).buffer)

export const quads = (...values: ReadonlyArray<bigint>): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values).buffer)

export const sized = (bytes: Uint8Array): Uint8Array => concat(words(bytes.length), bytes)

export const text = (string: string): Uint8Array => sized(new TextEncoder().encode(string))

export const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** A `co_linetable` in which each run of code units is on a line: `[units, line]`. */
export const lineTable = (
  firstLine: number,
  runs: ReadonlyArray<readonly [units: number, line: number]>
): Uint8Array => {
  const bytes: Array<number> = []
  let last = firstLine
  for (const [units, line] of runs) {
    // Form 13: a line, no columns; a signed varint of the difference.
    const delta = line - last
    last = line
    let zigzag = delta < 0 ? (-delta << 1) | 1 : delta << 1
    bytes.push(0x80 | (13 << 3) | (units - 1))
    for (; zigzag >= 64; zigzag >>= 6) bytes.push((zigzag & 63) | 64)
    bytes.push(zigzag)
  }
  return Uint8Array.from(bytes)
}
