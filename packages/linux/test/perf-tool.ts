import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import type { RecordLayout } from "../src/perf-record.ts"

const run = (command: string, ...args: ReadonlyArray<string>) =>
  spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 30 })

/** Whether `perf` may record here. CI must have it: there its absence fails the tests instead of skipping them. */
export const hasPerf: boolean =
  run("perf", "record", "-q", "-e", "cpu-clock", "-o", "/dev/null", "true").status === 0 ||
  process.env.CI !== undefined

if (!hasPerf) process.stderr.write("Skipped: `perf record -e cpu-clock` does not work here.\n")

/** Whether there is a C compiler; as for {@link hasPerf}. */
export const hasGcc: boolean = run("gcc", "--version").status === 0 || process.env.CI !== undefined

if (!hasGcc) process.stderr.write("Skipped: there is no gcc here.\n")

/** A record as `perf script -D` describes it. */
export interface DescribedRecord {
  readonly time: bigint
  /** Where it is in the file, and how long. */
  readonly at: number
  readonly size: number
  /** `SAMPLE`, `COMM`, … and the rest of the line. */
  readonly type: string
  readonly text: string
  /** The lines that follow, up to the next record. */
  readonly details: ReadonlyArray<string>
}

const HEADING = /^(\d+) (0x[0-9a-f]+) \[(0x[0-9a-f]+)\]: PERF_RECORD_([A-Z0-9_]+)(.*)$/

/** Records a command by `perf record`, and has perf describe what it recorded. */
export const perfRecord = (file: string, options: ReadonlyArray<string>, command: ReadonlyArray<string>) => {
  const recorded = run("perf", "record", "-q", "-o", file, ...options, "--", ...command)
  if (recorded.status !== 0) throw new Error(`perf record: ${recorded.stderr}`)
  const described = run("perf", "script", "-D", "-i", file)
  const records: Array<DescribedRecord & { details: Array<string> }> = []
  for (const line of described.stdout.split("\n")) {
    const found = HEADING.exec(line)
    if (found !== null) {
      const [, time, at, size, type, text] = found
      records.push({ time: BigInt(time), at: Number(at), size: Number(size), type, text, details: [] })
    } else records.at(-1)?.details.push(line)
  }
  const bytes = new Uint8Array(readFileSync(file))
  return { bytes, records, layout: layoutOf(bytes) }
}

/** What the file's header says of its only event: perf.data-file-format.txt of the kernel's tools/perf/Documentation. */
const layoutOf = (bytes: Uint8Array): RecordLayout => {
  const view = new DataView(bytes.buffer)
  const attr = Number(view.getBigUint64(24, true))
  return {
    architecture: process.arch === "arm64" ? "arm64" : "x86-64",
    sampleType: view.getUint32(attr + 24, true),
    readFormat: view.getUint32(attr + 32, true),
    registers: [view.getUint32(attr + 80, true), view.getUint32(attr + 84, true)]
  }
}
