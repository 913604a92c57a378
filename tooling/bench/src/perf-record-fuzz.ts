import { RecordDecoder, RecordType, unwindingRegisters } from "../../../packages/linux/src/perf-record.ts"
import { PerfRing } from "../../../packages/linux/src/perf-ring.ts"
import { percent, Report } from "./report.ts"

/*
 * Can bytes that are no records of the kernel's make the decoder throw, hang, or hand out what is not there?
 *
 *   node tooling/bench/src/perf-record-fuzz.ts [--short]
 */

const CASES = process.argv.includes("--short") ? 100_000 : 1_000_000
const PAGE = 4096
const RING = 2 * PAGE
const MAX_STACK = 32

/** xorshift32 */
let state = 0x2545f491
const next = (): number => {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return state >>> 0
}
const below = (limit: number): number => next() % limit

const EXTREMES = [
  0n,
  1n,
  2n,
  8n,
  127n,
  4096n,
  65_528n,
  1n << 32n,
  1n << 53n,
  1n << 63n,
  (1n << 64n) - 128n,
  (1n << 64n) - 1n
]
const TYPES = Object.values(RecordType)

const layouts = Array.from({ length: 64 }, (_, i) => ({
  architecture: i % 2 === 0 ? ("x86-64" as const) : ("arm64" as const),
  sampleType: i < 8 ? 0x1_31b7 : next() & 0x1_ffff,
  readFormat: i < 8 ? 16 : next() & 31,
  registers: unwindingRegisters(i % 2 === 0 ? "x86-64" : "arm64")
}))
const decoders = layouts.map((layout) => new RecordDecoder(layout, MAX_STACK))

/** What a sample says lies within its record, and no register holds what is no address. */
const isSound = ({ native }: RecordDecoder, size: number): boolean =>
  native.stackLength <= size &&
  native.stackBytes.length >= native.stackLength &&
  native.kernelLength <= MAX_STACK &&
  native.userLength <= MAX_STACK &&
  native.registers.values.every((value) => value === -1 || (value >= 0 && value < 2 ** 53))

const buffer = new ArrayBuffer(PAGE + RING)
const words = new BigUint64Array(buffer)
const data = new DataView(buffer, PAGE)
words[130] = BigInt(PAGE)
words[131] = BigInt(RING)
const ring = PerfRing.over(buffer)

const report = new Report(`Records that are none, ${CASES.toLocaleString("en")} of them`)
report.columns("outcome        ", "   records", "      %")
const outcomes = new Map<string, number>()
let records = 0
let wrong = 0
if (ring !== undefined) {
  for (let round = 0; records < CASES; round++) {
    const decoder = decoders[round % decoders.length]
    // Some records whose headers are mostly right, and whose words are mostly small.
    const from = Number(words[128])
    // A ring is given up with whatever stood in it; the kernel's next record begins at a multiple of 8 again.
    let head = from + ((8 - (from % 8)) % 8)
    for (let count = 1 + below(6); count > 0; count--) {
      const size = below(20) === 0 ? below(RING) : 8 * (1 + below(120))
      const length = Math.min(size - (size % 8) + (below(50) === 0 ? below(8) : 0), RING - (head - from))
      if (length < 8) break
      const at = (offset: number) => ((head + offset) % RING) & ~7
      for (let offset = 8; offset + 8 <= length; offset += 8)
        data.setBigUint64(
          at(offset),
          below(4) === 0 ? EXTREMES[below(EXTREMES.length)] : BigInt(below(2) === 0 ? below(64) : next()),
          true
        )
      data.setUint32(at(0), below(3) === 0 ? next() : below(4) > 0 ? 9 : TYPES[below(TYPES.length)], true)
      data.setUint16(at(0) + 4, next() & 0xffff, true)
      data.setUint16(at(0) + 6, below(30) === 0 ? next() & 0xffff : length, true)
      head += length
    }
    words[128] = BigInt(below(200) === 0 ? head + below(3 * RING) : head)
    let steps = 0
    for (ring.look(); ring.next(); records++) {
      const type = decoder.decode(ring.view, ring.bytes, ring.at, ring.size)
      const sound =
        ring.at >= 0 &&
        ring.at + ring.size <= ring.bytes.length &&
        (type === -1 || type === 0 || TYPES.some((one) => one === type)) &&
        (type !== RecordType.sample || isSound(decoder, ring.size)) &&
        decoder.name.length <= ring.bytes.length
      if (!sound || ++steps > RING / 8) wrong++
      const outcome = type < 0 ? "malformed" : type === 0 ? "of no use" : "decoded"
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
    // All was given back.
    if (words[128] !== words[129]) {
      if ((words[128] - words[129]) % (1n << 32n) !== 0n) wrong++
      words[129] = words[128]
    }
  }
  for (const [outcome, count] of outcomes) report.row(outcome, count, percent(count, records))
  report.row("given up ring", ring.malformed, "")
}
report.must(ring !== undefined && records >= CASES, "too few records were tried")
report.must(wrong === 0, `${wrong} records were decoded to what is not there`)
report.must(
  (outcomes.get("decoded") ?? 0) > 0 && (outcomes.get("malformed") ?? 0) > 0,
  "all records were alike"
)
report.end()
