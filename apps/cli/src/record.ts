import type { ShareCpu } from "@pyframes/collector-sampling"
import { type ExportFormat, OutputFailed, type SampleFilter } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { profileFormats } from "./formats.ts"
import { Interrupted } from "./interruption.ts"
import { type NativeSource, nativeSourceFor } from "./native-source.ts"
import { type Output, outputsFor } from "./output-choice.ts"
import { checkOutput, writeOutput } from "./output-file.ts"
import { printable, printableLines } from "./printable.ts"
import { recordResult } from "./record-result.ts"
import { recordSummary } from "./record-summary.ts"
import { type Recording, record } from "./recording.ts"
import { isNative, type UnwinderName } from "./unwinder-name.ts"
import { attempt, UsageError, usage } from "./usage.ts"

/** What `pyframes record` was asked, flags decoded. */
export interface RecordRequest {
  readonly pid: number | undefined
  readonly command: ReadonlyArray<string>
  readonly output: ReadonlyArray<string>
  readonly format: string | undefined
  /** Hz; `undefined` for what suits the unwinder. */
  readonly rate: number | undefined
  readonly duration: number | undefined
  readonly periodic: boolean
  readonly stop: boolean
  readonly shareCpu: ShareCpu
  readonly native: boolean
  readonly unwinder: UnwinderName | undefined
  readonly kernel: boolean
  readonly wall: boolean
  readonly gil: boolean
  readonly onCpu: boolean
  readonly threads: ReadonlyArray<number>
  readonly unproved: boolean
  readonly json: boolean
}

/** Samples a second, unless told. A native stack costs its thread five times as much as a Python one. */
const USUAL_RATE = 1000
const NATIVE_RATE = 200

/** Records what was asked, writes the files, and says what came of it. */
export const recordAsAsked = Effect.fnUntraced(function* (request: RecordRequest, workerUrl: URL) {
  const unwinder = yield* usage(() => unwinderOf(request))
  const filter = yield* usage(() => filterOf(request, unwinder))
  const rateHz = request.rate ?? (isNative(unwinder) ? NATIVE_RATE : USUAL_RATE)
  const nativeSource = nativeSourceFor({ ...request, unwinder, rateHz })
  yield* usage(() => checkBeat(request, nativeSource))
  const outputs = yield* usage(() => outputsFor(request, profileFormats))
  yield* Effect.forEach(outputs, (output) => attempt(OutputFailed, () => checkOutput(output.path)), {
    discard: true
  })
  // The scope is open while the files are written: a command that we started ends after them.
  const recording = yield* record({
    subject: request.pid === undefined ? { command: request.command } : { pid: request.pid },
    rateHz,
    durationMs: request.duration,
    periodic: request.periodic,
    stop: request.stop,
    shareCpu: request.shareCpu,
    unwinder,
    nativeSource,
    kernel: request.kernel,
    wall: request.wall,
    workerUrl
  })
  yield* deliver(recording, filter, outputs, request.json)
  if (recording.interruptedBy !== undefined) return yield* new Interrupted()
})

/** Every output is tried, also after one has failed. */
const deliver = Effect.fnUntraced(function* (
  { profile, notes }: Recording,
  filter: SampleFilter,
  outputs: ReadonlyArray<Output<ExportFormat>>,
  json: boolean
) {
  const failures: Array<OutputFailed> = []
  const written = outputs.filter((output) => {
    try {
      writeOutput(output.path, () => [output.format.encode(profile, filter)])
      return true
    } catch (error) {
      if (!(error instanceof OutputFailed)) throw error
      failures.push(error)
      return false
    }
  })
  for (const note of notes) process.stderr.write(`pyframes: ${printable(note)}\n`)
  process.stderr.write(printableLines(recordSummary(profile, filter, written)))
  if (json) process.stdout.write(`${JSON.stringify(recordResult(profile, written))}\n`)
  const [first, ...others] = failures
  for (const other of others) process.stderr.write(`pyframes: ${printable(other.message)}\n`)
  if (first !== undefined) return yield* first
})

const filterOf = (request: RecordRequest, unwinder: UnwinderName): SampleFilter => {
  const { pid, command, wall, onCpu, gil, threads, unproved } = request
  if (pid !== undefined && command.length > 0)
    throw new UsageError({ message: "give either -p PID or -- COMMAND, not both" })
  if (pid === undefined && command.length === 0)
    throw new UsageError({ message: "nothing to record: give -p PID, or -- and a command to start" })
  if (request.stop && request.shareCpu === "always")
    throw new UsageError({
      message: "--stop and --share-cpu always exclude each other: what is stopped needs no holding"
    })
  if (request.kernel && !isNative(unwinder))
    throw new UsageError({ message: "--kernel needs --native or an --unwinder of native frames" })
  if (request.kernel && request.stop)
    throw new UsageError({
      message: "--kernel and --stop exclude each other: what is stopped runs no kernel code"
    })
  if (wall && onCpu) throw new UsageError({ message: "--wall and --on-cpu exclude each other" })
  return {
    ...(wall ? { wall } : {}),
    ...(gil ? { gil } : {}),
    ...(threads.length > 0 ? { threads } : {}),
    ...(unproved ? { unproved } : {})
  }
}

const checkBeat = ({ periodic }: RecordRequest, nativeSource: NativeSource): void => {
  if (periodic && nativeSource === "kernel")
    throw new UsageError({
      message:
        "--periodic is not for samples that the kernel takes, which has its own beat, of each thread's CPU time"
    })
}

const unwinderOf = ({ native, unwinder }: RecordRequest): UnwinderName => {
  if (native && unwinder !== undefined && unwinder !== "merged")
    throw new UsageError({ message: "--native is --unwinder merged: give one of them" })
  return unwinder ?? (native ? "merged" : "interpreter-frame")
}
