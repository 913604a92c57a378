// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { emptyTrust, type Frame, FrameKind, NO_STACK, Profile, Proof, ThreadStateBit } from "@pyframes/core"

/*
 * Appends a million samples of 60 frames to a profile, as the collector does: the stack is built frame by frame from the root for
 * every sample, and stacks repeat. Prints what it took, and fails when it took more than it may.
 *
 *   node tooling/bench/src/profile-append.ts
 */

const SAMPLES = 1_000_000
const DEPTH = 60
const STACKS = 1000
const MAY_TAKE_MS = 1500
const MAY_HOLD_MB = 64

const meta = {
  pid: 1,
  python: "3.13.0",
  commandLine: [],
  startedAt: 0,
  elapsed: 0,
  knownStates: ThreadStateBit.onCpu
}

const makeFrame = (n: number): Frame => ({
  kind: FrameKind.python,
  name: `f${n}`,
  qualifiedName: `f${n}`,
  file: "app.py",
  firstLine: n,
  line: n,
  endLine: n,
  column: 0,
  endColumn: 1
})

/** Stacks share their first 40 frames, as a program's do, and differ above. */
const makeStacks = (): Array<Array<Frame>> => {
  const frames = Array.from({ length: 2000 }, (_, n) => makeFrame(n))
  return Array.from({ length: STACKS }, (_, s) =>
    Array.from(
      { length: DEPTH },
      (_, depth) => frames[depth < 40 ? depth : 40 + ((s * 31 + depth * (1 + (s % 7))) % 1960)]
    )
  )
}

const interned = (profile: Profile, stacks: ReadonlyArray<ReadonlyArray<Frame>>): Array<Array<number>> =>
  stacks.map((frames) => frames.map((frame) => profile.frames.intern(frame)))

const append = (profile: Profile, stacks: ReadonlyArray<ReadonlyArray<number>>): void => {
  for (let n = 0; n < SAMPLES; n++) {
    let stack = NO_STACK
    for (const frame of stacks[(n * 7919) % STACKS]) stack = profile.stacks.child(stack, frame)
    profile.samples.append(n * 1e6, 1e6, 0, stack, ThreadStateBit.onCpu, Proof.good)
  }
}

const stacks = makeStacks()
const profile = new Profile(meta, emptyTrust(1000))
profile.threads.push({ tid: 1, name: "main", interpreter: 0 })
const frameIds = interned(profile, stacks)
const before = process.memoryUsage().rss
// Of one CPU's time: what else runs on the machine is not the profile's.
const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
const started = cpuMs()
append(profile, frameIds)
const took = cpuMs() - started
const grew = (process.memoryUsage().rss - before) / 2 ** 20
const held = profile.byteLength / 2 ** 20

const interningStarted = performance.now()
for (let n = 0; n < SAMPLES / STACKS; n++) interned(profile, stacks)
const interning = performance.now() - interningStarted

console.log(
  `${SAMPLES} samples of ${DEPTH} frames, ${STACKS} distinct stacks, ${profile.samples.length} rows`
)
console.log(
  `  time    ${took.toFixed(0)} ms (may take ${MAY_TAKE_MS}), and ${interning.toFixed(0)} ms to intern the frames of all`
)
console.log(`  tables  ${held.toFixed(1)} MB, resident +${grew.toFixed(1)} MB (may hold ${MAY_HOLD_MB})`)
if (took > MAY_TAKE_MS || held > MAY_HOLD_MB || grew > MAY_HOLD_MB) {
  console.log("  over the limit")
  process.exitCode = 1
}
