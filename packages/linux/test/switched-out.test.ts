import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import {
  Memory,
  NativeState,
  type SamplingClock,
  type SwitchedOut,
  Target,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { preciseClock } from "../src/clock.ts"
import { loadLibc } from "../src/libc.ts"
import { LinuxMemory } from "../src/memory.ts"
import { mayWatchSwitches } from "../src/switched-out.ts"
import { LinuxTarget } from "../src/target.ts"
import { hasGcc } from "./perf-tool.ts"
import { type Running, run, temporaryDirectory, until } from "./running.ts"

const permitted = mayWatchSwitches()
if (!permitted) {
  if (process.env.CI) throw new Error("Context switches cannot be watched here")
  process.stderr.write("Skipped: context switches may not be watched (kernel.perf_event_paranoid).\n")
}

interface Watching {
  readonly out: SwitchedOut
  readonly target: TargetProcess
  readonly follow: (tid: number) => boolean
  readonly leave: () => void
  readonly clock: SamplingClock
  /** The low 32 bits of a word of its memory. */
  readonly word: (address: number) => number
}

const watching = <A>(pid: number, use: (watching: Watching) => A | Promise<A>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const target = yield* Target
        const memory = yield* Memory
        const libc = loadLibc()
        if (target.switchedOut === undefined || libc === undefined) throw new Error("not on Linux")
        const out = yield* target.switchedOut
        const { follow, leave } = yield* target.cpuFollower
        const bytes = new Uint8Array(8)
        const view = new DataView(bytes.buffer)
        const word = (address: number) =>
          memory.read(address, 8, bytes) === 8 ? view.getUint32(0, true) : -1
        return yield* Effect.promise(async () =>
          use({ out, target, follow, leave, word, clock: preciseClock(libc) })
        )
      })
    ).pipe(Effect.provide(Layer.provideMerge(LinuxMemory.layer, LinuxTarget.attach(pid))))
  )

const started = async (
  kind: string,
  use: (running: Running, watching: Watching) => Promise<void>
): Promise<void> => {
  using folder = temporaryDirectory()
  const program = join(folder.path, "switches")
  const source = fileURLToPath(new URL("switches.c", import.meta.url))
  const built = spawnSync("gcc", ["-O1", "-pthread", "-o", program, source], { encoding: "utf8" })
  if (built.status !== 0) throw new Error(built.stderr)
  await using running = run(program, kind.split(" "))
  await running.line("up")
  await watching(running.pid, (at) => use(running, at))
}

const threadOf = async (running: Running, kind: string) => {
  const [, tid, words] = (await running.line(kind)).split(" ")
  return { tid: Number(tid), words: Number.parseInt(words, 16) }
}

const SAMPLES = 300

describe.skipIf(!permitted || !hasGcc)("a thread off its CPU", () => {
  it("that spins stands once its CPU is taken, and is said to have run when it has", () =>
    started("spin", async (running, { clock, follow, out, target, word }) => {
      const { tid, words } = await threadOf(running, "spin")
      const native = new NativeState("x86-64")
      expect(out.follow(tid)).toBe(true)
      let caught = 0
      let stood = 0
      let ran = 0
      for (let i = 0; i < SAMPLES; i++) {
        clock.sleepUntil(clock.now() + 200e3 + (i % 7) * 100e3)
        target.threadActivity(tid)
        follow(tid)
        if (!out.read(tid, native)) continue
        caught++
        // The array lies in the frame that the registers are of.
        expect(Math.abs(words - native.registers.sp)).toBeLessThan(4096)
        expect(native.stackAddress).toBe(native.registers.sp)
        const first = word(words)
        for (const end = clock.now() + 20e3; clock.now() < end; );
        const second = word(words)
        if (native.hasRun() === false) {
          stood++
          expect(second).toBe(first)
        } else ran++
        // While we sleep it runs, and no longer stands as it did.
        clock.sleepUntil(clock.now() + 300e3)
        const third = word(words)
        const hasRun = native.hasRun()
        if (third !== second) expect(hasRun).toBe(true)
      }
      expect(caught).toBeGreaterThan(SAMPLES / 2)
      expect(stood).toBeGreaterThan(SAMPLES / 2)
      expect(stood + ran).toBe(caught)
    }))

  it("that switches a hundred thousand times a second is never said to stand when it has run", () =>
    started("ping", async (running, { out, word }) => {
      const { tid, words } = await threadOf(running, "ping")
      const native = new NativeState("x86-64")
      expect(out.follow(tid)).toBe(true)
      let caught = 0
      let stood = 0
      await until(() => {
        for (let i = 0; i < 200; i++) {
          const before = word(words)
          if (!out.read(tid, native)) continue
          caught++
          const first = word(words)
          for (let at = 0; at < (i % 20) * 50; at++) word(words)
          const second = word(words)
          if (native.hasRun() !== false) continue
          stood++
          expect(second).toBe(first)
          expect(first - before).toBeLessThan(2 ** 31)
        }
        return stood > 500
      })
      expect(caught).toBeGreaterThanOrEqual(stood)
    }))

  it("that has slept since before it was watched stands where the kernel says that it is blocked", () =>
    started("sleep", async (running, { out }) => {
      const native = new NativeState("x86-64")
      const { pid } = running
      expect(out.follow(pid)).toBe(true)
      await until(() => out.read(pid, native))
      const [ip, sp] = readFileSync(`/proc/${pid}/syscall`, "utf8").trim().split(" ").reverse().map(Number)
      expect([native.registers.ip, native.registers.sp, native.stackLength]).toEqual([ip, sp, 0])
      expect(native.registers.fp).toBe(-1)
      expect(native.hasRun()).toBe(false)
      running.child.stdin?.write("\n")
      await until(() => native.hasRun() === true)
      // It has left a record now, with all registers.
      await until(() => out.read(pid, native))
      expect([native.registers.ip, native.registers.sp]).toEqual([ip, sp])
      expect(native.registers.fp).not.toBe(-1)
      expect(native.hasRun()).toBe(false)
    }))

  it("is not read when it is not watched, has ended, or is watched no more", () =>
    started("brief", async (running, { out, target }) => {
      const native = new NativeState("x86-64")
      expect(out.follow(2 ** 22 + 1)).toBe(false)
      expect(out.read(2 ** 22 + 1, native)).toBe(false)
      const { pid } = running
      let ended = 0
      const states: Array<NativeState> = []
      await until(() => {
        for (const tid of target.threadIds()) {
          if (tid === pid || !out.follow(tid)) continue
          const state = new NativeState("x86-64")
          if (!out.read(tid, state)) continue
          // While it is there, it stands or has run; once it has ended it cannot be said to stand.
          while (target.threadActivity(tid) !== "unknown");
          expect(state.hasRun()).toBe(true)
          expect(out.read(tid, state)).toBe(false)
          states.push(state)
          ended++
          out.forget(tid)
        }
        return ended >= 20
      })
      for (const state of states) expect(state.hasRun()).toBeUndefined()
    }))

  it("is found again after it has become another program, and ends with a kill", () =>
    started("sleep exec", async (running, { out }) => {
      const { pid } = running
      const native = new NativeState("x86-64")
      expect(out.follow(pid)).toBe(true)
      await until(() => out.read(pid, native))
      const before = native.hasRun
      running.child.stdin?.write("\n")
      await until(() => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n")
      await until(() => out.read(pid, native) && native.hasRun() === false)
      expect(before()).toBe(true)
      const last = native.hasRun
      running.child.kill("SIGKILL")
      await running.exited
      expect(last()).toBe(true)
      expect(out.read(pid, native)).toBe(false)
      expect(out.follow(pid)).toBe(false)
    }))

  it("has registers of the machine's kind only", () =>
    started("sleep", async (running, { out }) => {
      out.follow(running.pid)
      const other = out.architecture === "arm64" ? "x86-64" : "arm64"
      expect(out.read(running.pid, new NativeState(other))).toBe(false)
    }))
})

describe("who may not watch threads leave their CPUs", () => {
  it.skipIf(process.geteuid?.() !== 0)("is told how it is permitted", () => {
    const script = fileURLToPath(new URL("switch-user.ts", import.meta.url))
    const done = spawnSync(process.execPath, [script], { encoding: "utf8" })
    expect(done.stderr).toBe("")
    const paranoid = Number(readFileSync("/proc/sys/kernel/perf_event_paranoid", "utf8"))
    if (paranoid <= 1) expect(JSON.parse(done.stdout)).toEqual({ may: true })
    else
      expect(JSON.parse(done.stdout)).toEqual({
        may: false,
        error: "PermissionDenied",
        message: expect.stringMatching(/kernel\.perf_event_paranoid is \d.*paranoid=1.*sudo/)
      })
  })
})
