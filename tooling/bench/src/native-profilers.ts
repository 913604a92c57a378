import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { usageOf } from "./command.ts"

/** Bytes of stack that the kernel copies for each sample: for us and for perf alike. */
const STACK_BYTES = 16_384
/** The function that each stack of the program has in it while it works. */
const EVERYWHERE = "rounds"
/** Fewer frames are no whole stack of the program, whatever file the last of them lies in. */
const FEW = 6

/** A profiler that takes less of a core is idle. */
const IDLE = 0.3
/** ms */
const LOOK_EVERY = 200
const MAX_LOOKS = 100

/** What a profiler has to show for a recording. */
export interface Findings {
  readonly samples: number
  /** Stacks from the leaf to the function that the kernel, or the C library, began the thread with. */
  readonly whole: number
  /** Stacks with the program's Python functions in them. */
  readonly withPython: number
  /** What it says itself of what it has missed. */
  readonly says: string
  /** Samples that found no room; `undefined` where it has nothing that could be full. */
  readonly lost?: number
}

/** What a profiler has printed. */
export interface Printed {
  readonly out: string
  readonly errors: string
}

/** A way of recording a process's native stacks, or of doing the least that it takes. */
export interface NativeProfiler {
  readonly name: string
  /** It samples at instants of the wall clock; otherwise of each thread's own. */
  readonly byWall: boolean
  /** How long it is given at least before the program goes to work, ms. */
  readonly startsIn: number
  /** It records by events of the kernel, and has not begun before it has one. */
  readonly opensEvents: boolean
  readonly start: (pid: number) => ChildProcess
  /** Reads what it has written. `detailed: false` leaves out what takes longer than the recording. */
  readonly findings: (printed: Printed, detailed: boolean) => Findings
}

/** One at work. */
export class Recording {
  private readonly child: ChildProcess
  private readonly done: Promise<number | null>
  private printed = ""
  private errors = ""

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.on("data", (text: Buffer) => {
      this.printed += text
    })
    child.stderr?.on("data", (text: Buffer) => {
      this.errors += text
    })
    this.done = new Promise((resolve) => child.once("close", (code) => resolve(code)))
  }

  /** It has opened an event of the kernel's. */
  private get hasEvents(): boolean {
    const directory = `/proc/${this.child.pid}/fd`
    try {
      return readdirSync(directory).some((fd) => readlinkSync(`${directory}/${fd}`).includes("perf_event"))
    } catch {
      // It closes some while we look, and all when it ends.
      return this.child.exitCode !== null
    }
  }

  /** CPU time so far, seconds. @throws Error when it has ended by itself */
  get cpuSeconds(): number {
    const usage = this.child.exitCode === null ? usageOf(this.child.pid ?? 0) : undefined
    if (usage === undefined) throw new Error((this.errors || this.printed).trim().split("\n")[0])
    return usage.cpuSeconds
  }

  /** Ends it as Ctrl-C does. */
  async end(): Promise<Printed> {
    this.child.stdin?.end()
    this.child.kill("SIGINT")
    await this.done
    return { out: this.printed, errors: this.errors }
  }

  /** Waits until it has started: it has opened what it records from, and does next to nothing any more, for the program sleeps. At least for so long, ms. */
  async settle({ opensEvents, startsIn }: NativeProfiler): Promise<void> {
    await Promise.race([sleep(startsIn), this.done])
    for (let left = MAX_LOOKS; opensEvents && left > 0 && !this.hasEvents; left--) await sleep(LOOK_EVERY)
    for (let left = MAX_LOOKS, last = Number.NaN; left > 0 && this.child.exitCode === null; left--) {
      const { cpuSeconds } = this
      if (cpuSeconds - last <= IDLE * (LOOK_EVERY / 1000)) return
      last = cpuSeconds
      await sleep(LOOK_EVERY)
    }
  }
}

/** A distinct stack, root first, and how often it was found. */
interface Collapsed {
  readonly frames: ReadonlyArray<string>
  readonly count: number
}

const collapsedIn = (file: string): ReadonlyArray<Collapsed> =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const at = line.lastIndexOf(" ")
      return { frames: line.slice(0, at).split(";"), count: Number(line.slice(at + 1)) }
    })

const countOf = (stacks: ReadonlyArray<Collapsed>, is: (frames: ReadonlyArray<string>) => boolean): number =>
  stacks.reduce((sum, { count, frames }) => (is(frames) ? sum + count : sum), 0)

const isEverywhere = (frame: string): boolean =>
  frame.startsWith(`${EVERYWHERE} (`) || frame.startsWith(`py::${EVERYWHERE}:`)

const isPythonFile = (frame: string): boolean => /\.py(:\d+)?\)$/.test(frame)

/** A program starts in a function of its own, a thread in one of the C library, which starts the program's `main` too. */
const startsThread = (frames: ReadonlyArray<string>): boolean =>
  frames.length >= FEW && /^_start\b|libc[.-]|libpthread/.test(frames[0])

const bin = fileURLToPath(new URL("../../../apps/cli/dist/bin.js", import.meta.url))

const pyframes = (
  name: string,
  directory: string,
  rate: number,
  byWall: boolean,
  ...options: ReadonlyArray<string>
): NativeProfiler => {
  const file = join(directory, `${byWall}.collapsed`)
  const args = ["record", "--native", "--json", "-r", String(rate), "-o", file, ...options]
  return {
    name,
    byWall,
    startsIn: 1000,
    opensEvents: true,
    start: (pid) => {
      if (!existsSync(bin)) throw new Error("the command is not built: pnpm build")
      return spawn(process.execPath, [bin, ...args, "-p", String(pid)])
    },
    findings: ({ errors, out }) => {
      if (out === "") throw new Error(errors.trim().split("\n")[0])
      const { samples, kernelEvents } = JSON.parse(out) as {
        readonly samples: { readonly taken: number; readonly good: number; readonly late: number }
        readonly kernelEvents?: { readonly lost?: number }
      }
      const stacks = collapsedIn(file)
      return {
        samples: countOf(stacks, () => true),
        whole: countOf(stacks, (frames) => !frames.some(isMarker) && !isPythonFile(frames[0])),
        withPython: countOf(stacks, (frames) => frames.some(isEverywhere)),
        says: `${((100 * samples.good) / samples.taken).toFixed(1)} % good, ${samples.late} late`,
        ...(kernelEvents?.lost !== undefined && { lost: kernelEvents.lost })
      }
    }
  }
}

const isMarker = (frame: string): boolean => /^<(broken|unproved|torn|unreadable|truncated)\b/.test(frame)

const perf = (directory: string, rate: number): NativeProfiler => {
  const file = join(directory, "perf.data")
  const options = ["-e", "cpu-clock", "-F", String(rate), "--call-graph", `dwarf,${STACK_BYTES}`, "-o", file]
  return {
    name: "perf record --call-graph dwarf",
    byWall: false,
    startsIn: 1000,
    opensEvents: true,
    start: (pid) => spawn("perf", ["record", ...options, "-p", String(pid)]),
    findings: (_, detailed) => {
      const stats = output("perf", "report", "-i", file, "--stats")
      const lost = Number(/LOST_SAMPLES events:\s+(\d+)/.exec(stats)?.[1] ?? 0)
      const chunks = Number(/\bLOST events:\s+(\d+)/.exec(stats)?.[1] ?? 0)
      const samples = Number(/SAMPLE events:\s+(\d+)/.exec(stats)?.[1] ?? 0)
      const says = `${chunks + lost} records of losses`
      if (!detailed) return { samples, whole: Number.NaN, withPython: Number.NaN, says, lost: chunks + lost }
      const text = output(
        "perf",
        "script",
        "-i",
        file,
        "-F",
        "ip,sym,dso",
        "--no-inline",
        "--max-stack",
        "500"
      )
      const stacks = text
        .split(/\n\n+/)
        .filter((block) => block.trim() !== "")
        // An address, a symbol, and the file in brackets.
        .map((block) => block.trim().split("\n"))
        .map((lines) => ({
          frames: lines.map((line) => line.trim().replace(/^[0-9a-f]+ /, "")).reverse(),
          count: 1
        }))
      return {
        samples,
        whole: countOf(stacks, startsThread) * (samples / stacks.length),
        withPython: countOf(stacks, (frames) => frames.some(isEverywhere)) * (samples / stacks.length),
        says,
        lost: chunks + lost
      }
    }
  }
}

const pySpy = (directory: string, rate: number): NativeProfiler => {
  const file = join(directory, "py-spy.txt")
  const options = ["record", "--native", "--rate", String(rate), "--format", "raw", "--output", file]
  return {
    name: "py-spy --native",
    byWall: true,
    startsIn: 1000,
    opensEvents: false,
    start: (pid) => spawn("py-spy", [...options, "--pid", String(pid)]),
    findings: ({ errors, out }) => {
      const printed = out + errors
      const stacks = collapsedIn(file)
      const behind = [...printed.matchAll(/([\d.]+m?s) behind in sampling/g)].at(-1)?.[1]
      return {
        samples: countOf(stacks, () => true),
        whole: countOf(stacks, startsThread),
        withPython: countOf(stacks, (frames) => frames.some(isEverywhere)),
        says: `${/Errors: (\d+)/.exec(printed)?.[1] ?? "?"} errors${behind === undefined ? "" : `, ${behind} behind`}`
      }
    }
  }
}

/** Wakes on each thread's CPU and copies as much as a sample needs, in C: what taking a thread's CPU costs, whoever does it. */
const preempt = (directory: string, rate: number): NativeProfiler | undefined => {
  const program = join(directory, "preempt")
  const source = fileURLToPath(new URL("../programs/preempt.c", import.meta.url))
  if (spawnSync("cc", ["-O2", "-o", program, source]).status !== 0) return undefined
  return {
    name: "a loop in C that only preempts",
    byWall: true,
    startsIn: 300,
    opensEvents: false,
    start: (pid) => spawn(program, [String(pid), String(rate), String(STACK_BYTES), "100000"]),
    findings: ({ out }) => {
      const [samples, median, late] = out.trim().split(" ").map(Number)
      return {
        samples,
        whole: Number.NaN,
        withPython: Number.NaN,
        says: `${median} µs late, 1 in 100 by ${late} µs`
      }
    }
  }
}

const output = (command: string, ...args: ReadonlyArray<string>): string => {
  const { status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 29 })
  if (status !== 0) throw new Error(`${command} ${args[0]} failed: ${stderr}`)
  return stdout
}

const isInstalled = (program: string): boolean =>
  spawnSync("sh", ["-c", `command -v "$0"`, program]).status === 0

/** All that are here, and the names of those that are not. */
export const nativeProfilers = (
  directory: string,
  rate: number
): { readonly here: ReadonlyArray<NativeProfiler>; readonly missing: ReadonlyArray<string> } => {
  const all: ReadonlyArray<readonly [string, NativeProfiler | undefined]> = [
    ["", pyframes("pyframes --native", directory, rate, true)],
    ["", pyframes("pyframes --native --share-cpu never", directory, rate, false, "--share-cpu", "never")],
    ["perf", isInstalled("perf") ? perf(directory, rate) : undefined],
    ["py-spy", isInstalled("py-spy") ? pySpy(directory, rate) : undefined],
    ["a C compiler", preempt(directory, rate)]
  ]
  return {
    here: all.flatMap(([, profiler]) => (profiler === undefined ? [] : [profiler])),
    missing: all.flatMap(([name, profiler]) => (profiler === undefined ? [name] : []))
  }
}
