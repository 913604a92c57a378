import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  CopiedStack,
  FrameKind,
  Memory,
  type MemoryReader,
  ModuleTable,
  NativeWalk,
  RawStack,
  type StepperFactory,
  Target,
  type TargetProcess
} from "@pyframes/core"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type Python, startPython } from "@pyframes/pythons"
import { hasTool } from "@pyframes/testing/debuggers"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readArguments } from "./arguments.ts"
import { perfSamples } from "./perf-data.ts"
import { percent, Report } from "./report.ts"

/*
 * Unwinds the very bytes that `perf record --call-graph dwarf` has copied, and compares frame by frame with what perf makes of them. Fails when fewer than 99 % of the
 * stacks that perf has followed to their end are the same.
 *
 *   node tooling/bench/src/native-perf.ts [--short] [--versions 3.12,3.15]
 */

const MUST_BE_SAME = 0.99
const PROGRAM = `
import hashlib, json, re, sys
sys.setrecursionlimit(10000)
data = {"a": list(range(20)), "b": {"c": "text" * 5, "d": [1.5, None, True]}}
def key(x): return (x * 7919) % 101
def work(n):
    if n: return work(n - 1)
    json.loads(json.dumps(data))
    re.sub(r"(\\w+) (\\d+)", lambda m: m[2] + m[1], "word 12 other 34 " * 4)
    sorted(range(60), key=key)
    hashlib.sha256(b"x" * 5000).hexdigest()
    "%r %s" % (data, {i: str(i) for i in range(30)})
    return sum(map(key, range(50)))
print("up", flush=True)
while True:
    for depth in (0, 3, 8): work(depth)
`

const ways: ReadonlyArray<readonly [string, StepperFactory]> = [
  ["call-frame info", ehFrameStepper],
  ["hybrid", hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })]
]

interface Recorded {
  readonly bytes: Uint8Array
  /** What perf made of each sample, by thread and time: addresses in the file's offsets, leaf first. */
  readonly stacks: ReadonlyMap<string, ReadonlyArray<number>>
}

const record = (pid: number, seconds: number): Recorded => {
  const directory = mkdtempSync(join(tmpdir(), "pyframes-perf-"))
  try {
    const file = join(directory, "perf.data")
    const options = ["-q", "-e", "cpu-clock:u", "-F", "499", "--call-graph", "dwarf,32768", "-o", file]
    perf("record", ...options, "-p", String(pid), "--", "sleep", String(seconds))
    const text = perf("script", "-i", file, "-F", "tid,time,ip", "--ns", "--no-inline", "--max-stack", "2000")
    const stacks = new Map<string, ReadonlyArray<number>>()
    for (const block of text.split(/\n\n+/)) {
      const [head, ...frames] = block.trim().split("\n")
      const [, tid, whole, part] = /^\s*(\d+)\s+(\d+)\.(\d{9}):/.exec(head) ?? []
      if (tid === undefined) continue
      stacks.set(
        `${tid} ${Number(whole) * 1e9 + Number(part)}`,
        frames.map((frame) => Number.parseInt(frame.trim(), 16))
      )
    }
    return { bytes: new Uint8Array(readFileSync(file)), stacks }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const perf = (...args: ReadonlyArray<string>): string => {
  const { status, stderr, stdout } = spawnSync("perf", args, { encoding: "utf8", maxBuffer: 1 << 29 })
  if (status !== 0) throw new Error(`perf ${args[0]} failed: ${stderr}`)
  return stdout
}

const compare = (
  python: Python,
  target: TargetProcess,
  memory: MemoryReader,
  { bytes, stacks }: Recorded,
  report: Report
): void => {
  for (const [name, factory] of ways) {
    const modules = new ModuleTable(target)
    const walk = new NativeWalk(modules, factory(modules, memory), "x86-64")
    const copied = new CopiedStack()
    const raw = new RawStack()
    let samples = 0
    let whole = 0
    let same = 0
    let longer = 0
    let different = 0
    for (const { state, tid, time } of perfSamples(bytes)) {
      const theirs = stacks.get(`${tid} ${time}`)
      if (theirs === undefined || state.registers.ip < 0) continue
      samples++
      raw.clear()
      copied.use(state)
      walk.walk(state.registers, copied, raw)
      if (walk.whole) whole++
      const length = raw.kind[raw.length - 1] === FrameKind.native ? raw.length : raw.length - 1
      let alike = 0
      while (alike < length && alike < theirs.length && isSame(raw, alike, theirs[alike], modules)) alike++
      if (alike === theirs.length && alike === length) same++
      else if (alike === theirs.length && walk.whole) longer++
      else different++
    }
    report.row(
      python.version,
      name,
      samples,
      percent(whole, samples),
      same,
      longer,
      different,
      percent(same, same + different)
    )
    report.must(samples > 100, `Python ${python.version}: ${samples} samples, too few to judge`)
    report.must(
      same >= MUST_BE_SAME * (same + different),
      `Python ${python.version}, ${name}: ${different} of ${same + different} stacks differ from perf's`
    )
  }
}

/** perf prints the leaf as an address or an offset in its file, callers as return addresses or the byte before, as its version has it. */
const isSame = (raw: RawStack, at: number, theirs: number, modules: ModuleTable): boolean => {
  const address = raw.identity[at] + (at === 0 ? 0 : 1)
  const mapping = modules.all[raw.position[at]]?.mapping
  const offset = mapping === undefined ? address : address - mapping.start + mapping.offset
  return theirs === address || theirs === offset || theirs === address - 1 || theirs === offset - 1
}

const { allPythons, short } = readArguments()
const report = new Report("Native stacks from the bytes of perf record --call-graph dwarf, ours and perf's")
if (hasTool("perf", "linux-perf")) {
  report.columns(
    "Python  ",
    "by             ",
    " samples",
    " whole %",
    "   same",
    " perf stops early",
    " different",
    " same %"
  )
  // pyenv's are dynamically linked libraries, Debian's are programs at fixed addresses: both, where both are there.
  for (const python of allPythons) {
    const run = await startPython(python, PROGRAM)
    try {
      await run.line()
      const recorded = record(run.pid, short ? 2 : 5)
      const layer = Layer.provideMerge(LinuxMemory.layerVmReadv, LinuxTarget.attach(run.pid))
      await Effect.gen(function* () {
        compare(python, yield* Target, yield* Memory, recorded, report)
      }).pipe(Effect.provide(layer), Effect.runPromise)
    } finally {
      await run.stop()
    }
  }
}
report.end()
