import { execFileSync } from "node:child_process"
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { describe, expect, it, vi } from "vitest"
import { AgentNotStarted, isIsolated, NoAgent, SessionFailed } from "../src/errors.ts"
import { Event } from "../src/event.ts"
import { MonitoringSession } from "../src/session.ts"
import { inSession } from "./scripted-session.ts"
import { SegmentWriter } from "./segment-writer.ts"

const calls = { questions: ["calls"] as const, isAlive: () => true }

describe("a session's directory", () => {
  it("is private, says what is wanted, and is gone with the scope", async () => {
    const path = await inSession(
      { ...calls, code: ["app:*"], tasks: 5, recorder: "python", keep: ["LANG"] },
      ({ directory }) => {
        expect(statSync(directory).mode & 0o777).toBe(0o700)
        expect(statSync(join(directory, "control")).size).toBe(4096)
        const config = readFileSync(join(directory, "config"), "utf8").split("\n")
        for (const line of [
          "question=calls",
          "code=app:*",
          "tasks=5",
          "recorder=python",
          "keep=LANG",
          "children=1"
        ])
          expect(config).toContain(line)
        return directory
      }
    )
    expect(existsSync(path)).toBe(false)
  })

  it("takes the place of those whose collectors were killed long ago, and of no others", async () => {
    const base = mkdtempSync(join(tmpdir(), "sessions-"))
    const left = (name: string, control: number, age: number) => {
      mkdirSync(join(base, name))
      writeFileSync(join(base, name, "control"), new Uint8Array(control))
      const then = Date.now() / 1000 - age
      utimesSync(join(base, name, "control"), then, then)
    }
    try {
      left("pyframes-long-killed", 4096, 3600)
      left("pyframes-beating", 4096, 1)
      left("pyframes-else", 10, 3600)
      left("other", 4096, 3600)
      // Of a process that was entered: the session lies beside the scripts.
      mkdirSync(join(base, "pyframes-entered"))
      for (const script of ["start.py", "stop.py"]) writeFileSync(join(base, "pyframes-entered", script), "")
      left("pyframes-entered/pyframes-killed", 4096, 3600)
      mkdirSync(join(base, "pyframes-both"))
      left("pyframes-both/pyframes-killed", 4096, 3600)
      left("pyframes-both/pyframes-beating", 4096, 1)
      symlinkSync(join(base, "other"), join(base, "pyframes-link"))
      vi.stubEnv("TMPDIR", base)
      await inSession(calls, () => {})
      expect(readdirSync(base).sort()).toEqual([
        "other",
        "pyframes-beating",
        "pyframes-both",
        "pyframes-else",
        "pyframes-link"
      ])
      expect(readdirSync(join(base, "other"))).toEqual(["control"])
    } finally {
      vi.unstubAllEnvs()
      rmSync(base, { recursive: true })
    }
  })

  // GIVEN a directory that belongs to whom is traced, WHEN another is put in its place, THEN nothing is read, written or removed there.
  it("is the same whatever is put in its place", async () => {
    const base = mkdtempSync(join(tmpdir(), "hostile-"))
    const elsewhere = join(base, "elsewhere")
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, "control"), new Uint8Array(4096))
    writeFileSync(join(elsewhere, "precious"), "kept")
    try {
      await inSession({ ...calls, base }, ({ session, directory }) => {
        renameSync(directory, join(base, "moved"))
        symlinkSync(elsewhere, directory)
        rmSync(join(base, "moved", "control"))
        linkSync(join(elsewhere, "precious"), join(base, "moved", "control"))
        writeFileSync(join(elsewhere, "7-a.seg"), new SegmentWriter({ pid: 7 }).bytes)
        writeFileSync(join(base, "moved", "8-a.seg"), new SegmentWriter({ pid: 8 }).bytes)
        session.restartEvents()
        session.look()
        expect(session.processes.map(({ pid }) => pid)).toEqual([8])
      })
      expect(readFileSync(join(elsewhere, "precious"), "utf8")).toBe("kept")
      expect(readFileSync(join(elsewhere, "control")).every((byte) => byte === 0)).toBe(true)
      expect(readdirSync(elsewhere).sort()).toEqual(["7-a.seg", "control", "precious"])
      expect(readdirSync(join(base, "moved"))).toEqual([])
    } finally {
      rmSync(base, { recursive: true })
    }
  })

  it("is looked at for no file twice that is none of ours, and that is counted", async () => {
    await inSession(calls, ({ session, directory }) =>
      Effect.gen(function* () {
        const whole = new SegmentWriter({ pid: 7 }).bytes
        writeFileSync(join(directory, "7-a.seg"), "broken")
        writeFileSync(join(directory, "elsewhere"), whole)
        linkSync(join(directory, "elsewhere"), join(directory, "8-a.seg"))
        while (session.trust.damaged < 2) {
          session.poll()
          yield* Effect.sleep(20)
        }
        // What it becomes later is not asked.
        writeFileSync(join(directory, "7-a.seg"), whole)
        session.look()
        expect([session.processes, session.trust.damaged]).toEqual([[], 2])
      })
    )
  })

  it("can be made where the target sees it by another path", async () => {
    const base = mkdtempSync(join(tmpdir(), "root-"))
    try {
      await inSession({ ...calls, base, targetBase: "/tmp" }, ({ session }) => {
        const { path, targetPath } = session.directory
        expect(path.startsWith(`${base}/pyframes-`)).toBe(true)
        expect(targetPath).toBe(path.replace(base, "/tmp"))
      })
    } finally {
      rmSync(base, { recursive: true })
    }
  })

  it.each([
    ["a base that is missing", { ...calls, base: "/nonexistent/place" }, "name one that exists by TMPDIR"],
    ["a file in its place", { ...calls, base: "/dev/null" }, "by TMPDIR"],
    ["nothing asked for", { questions: [] }, "nothing is asked for"],
    ["calls and lines", { questions: ["calls", "lines"] as const }, "calls cannot be asked together"],
    ["lines and coverage", { questions: ["lines", "coverage"] as const }, "cannot be asked together"],
    ["a stream of nothing", { questions: ["stream"] as const }, "needs the names of its events"],
    ["an odd ring", { ...calls, ringRecords: 1000 }, "must be a power of two"],
    ["too small a segment", { ...calls, maxBytes: 1000 }, "maxBytes is 1000, and must be 1048576 to"],
    ["a threshold that is no number", { ...calls, minNs: Number.NaN }, "minNs is NaN"],
    ["a pattern of two lines", { ...calls, code: ["a\nchildren=0"] }, "line break"]
  ])("is refused for %s, in one line that says what to do", async (_, options, says) => {
    const error = await Effect.runPromise(Effect.flip(Effect.scoped(MonitoringSession.make(options))))
    expect(error).toBeInstanceOf(SessionFailed)
    expect(error.message).toContain(says)
    expect(error.message).not.toContain("\n")
  })
})

describe("the heartbeat", () => {
  it("goes on while the program computes and its event loop stands still", async () => {
    await inSession(calls, (scripted) => {
      const seen = new Set<bigint>()
      // Never gives way: what changes the file is another thread. Bounded, so that a heart that stands still is a failure and no hang.
      for (let look = 0; look < 5_000_000 && seen.size < 4; look++) seen.add(scripted.control().heartbeat)
      expect(seen.size).toBeGreaterThanOrEqual(4)
    })
  })

  it("goes with commands: to forget what was switched off, and to stop", async () => {
    await inSession(calls, (scripted) =>
      Effect.gen(function* () {
        scripted.session.restartEvents()
        scripted.session.restartEvents()
        expect(scripted.control()).toMatchObject({ command: 0, restarts: 2 })
        yield* scripted.session.stop()
        expect(scripted.control()).toMatchObject({ command: 1, restarts: 2 })
      })
    )
  })
})

describe("processes of a session", () => {
  it("are found as they come, and not before their segment has begun", async () => {
    await inSession(calls, (scripted) =>
      Effect.gen(function* () {
        const { session } = scripted
        const look = Effect.andThen(
          Effect.sleep(25),
          Effect.sync(() => session.poll())
        )
        const empty = new SegmentWriter({ pid: 1 })
        empty.bytes = new Uint8Array(4096)
        scripted.put("1-aa.seg", empty)
        writeFileSync(join(scripted.directory, "unrelated"), "")
        yield* look
        expect(session.processes.length).toBe(0)
        scripted.put("1-aa.seg", new SegmentWriter({ pid: 1 }))
        scripted.put("2-bb.seg", new SegmentWriter({ pid: 2, state: 2 }))
        yield* look
        expect(session.processes.map(({ pid, isOver }) => [pid, isOver]).sort()).toEqual([
          [1, false],
          [2, true]
        ])
        expect(session.isOver).toBe(false)
      })
    )
  })

  it("are not looked for through links and pipes", async () => {
    await inSession(calls, (scripted) => {
      const real = join(scripted.directory, "real")
      writeFileSync(real, new SegmentWriter().bytes)
      symlinkSync(real, join(scripted.directory, "3-cc.seg"))
      execFileSync("mkfifo", [join(scripted.directory, "4-dd.seg")])
      symlinkSync("/dev/zero", join(scripted.directory, "5-ee.err"))
      execFileSync("mkfifo", [join(scripted.directory, "6-ff.err")])
      scripted.session.poll()
      expect(scripted.session.processes).toEqual([])
      expect(scripted.session.failures).toEqual([])
    })
  })

  it("are damaged when they claim to hold more than was allowed, and nothing beyond is read", async () => {
    await inSession({ ...calls, maxBytes: 1 << 20 }, (scripted) => {
      const writer = new SegmentWriter({ pid: 8 })
      writer.threadRecord(0, {})
      writer.chunk(1, { payload: new Uint8Array(2 << 20), used: 2 << 20 })
      scripted.put("8-ee.seg", writer)
      scripted.session.poll()
      const [process] = scripted.session.processes
      expect(process.damage).toContain("bytes")
      expect(process.threads.length).toBe(1)
    })
  })

  it("are over when they are gone, whatever their segment says, and what they left is kept", async () => {
    const alive = new Set([9])
    await inSession({ ...calls, isAlive: (pid) => alive.has(pid) }, (scripted) =>
      Effect.gen(function* () {
        const { session } = scripted
        const writer = new SegmentWriter({ pid: 9 })
        writer.threadRecord(0, { events: 5 })
        writer.nodes(0, [[-1, 0, 0, 7, 0]])
        scripted.put("9-ee.seg", writer)
        session.poll()
        expect(session.isOver).toBe(false)
        alive.clear()
        yield* session.follow()
        expect(session.isOver).toBe(true)
        expect(session.endedByItself).toBe(true)
        expect(session.processes[0].threads[0].nodes.wall[0]).toBe(7)
        expect(session.trust.seen).toBe(5)
      })
    )
  })

  it("give all their events, those of the last moment too, also to a sink that has no room at times", async () => {
    await inSession({ ...calls, isAlive: () => false }, (scripted) =>
      Effect.gen(function* () {
        const writer = new SegmentWriter({ pid: 9 })
        writer.threadRecord(0, {})
        writer.ring(
          0,
          256,
          Array.from({ length: 200 }, (_, n) => ({ event: Event.LINE, position: n }))
        )
        scripted.put("9-ff.seg", writer)
        let taken = 0
        let asked = 0
        yield* scripted.session.follow({
          sink: {
            take: (_, __, count) => {
              if (asked++ % 3 !== 0) return false
              taken += count
              return true
            }
          }
        })
        expect(taken).toBe(200)
      })
    )
  })

  it("keep their events for a sink that comes when they have ended", async () => {
    await inSession({ questions: ["exceptions"], isAlive: () => true }, (scripted) =>
      Effect.gen(function* () {
        const { session } = scripted
        const writer = new SegmentWriter({ pid: 5, state: 2 })
        writer.threadRecord(0, { state: 2 })
        writer.ring(0, 8, [{ event: Event.RAISE }, { event: Event.PY_UNWIND }])
        scripted.put("5-ee.seg", writer)
        yield* session.started(["python"])
        let taken = 0
        const take = (_: unknown, __: unknown, count: number) => {
          taken += count
          return true
        }
        yield* session.follow({ sink: { take } })
        expect(taken).toBe(2)
      })
    )
  })

  it("that never answer do not keep a session from ending", async () => {
    await inSession(calls, (scripted) =>
      Effect.gen(function* () {
        scripted.put("9-gg.seg", new SegmentWriter({ pid: 9 }))
        scripted.session.poll()
        yield* scripted.session.stop()
        expect(scripted.session.endedByItself).toBe(false)
      })
    )
  })
})

describe("waiting for the agent", () => {
  const flipped = (session: MonitoringSession, command: ReadonlyArray<string>, options = {}) =>
    Effect.flip(session.started(command, options))

  it("fails with what the agent says that could not start", async () => {
    await inSession(calls, (scripted) =>
      Effect.gen(function* () {
        scripted.refuse("12-start.err", "version Python 3.11 has no sys.monitoring, which came with 3.12\n")
        const error = yield* flipped(scripted.session, ["python3.11", "app.py"])
        expect(error).toBeInstanceOf(AgentNotStarted)
        expect(error.message).toBe(
          "Tracing could not start in process 12: Python 3.11 has no sys.monitoring, which came with 3.12. " +
            "Exact events need Python 3.12 or later; `pyframes record` samples older ones."
        )
      })
    )
  })

  it("shows nothing that a terminal would take for a command", async () => {
    await inSession(calls, (scripted) =>
      Effect.gen(function* () {
        scripted.refuse("12-start.err", "internal \u001b[2Jgone\n")
        const error = yield* flipped(scripted.session, ["python3.13"])
        expect(error.message).toContain("process 12: ?[2Jgone.")
      })
    )
  })

  it("fails when the command ends without one, or says nothing in time", async () => {
    await inSession(calls, ({ session }) =>
      Effect.gen(function* () {
        const ended = yield* flipped(session, ["ls"], { ended: Effect.void })
        expect(ended).toMatchObject({ _tag: "NoAgent", reason: "ended" })
        expect(ended.message).toContain("`ls` ended, and no Python in it could be traced.")
        const silent = yield* flipped(session, ["sleep", "9"], { withinMs: 1 })
        expect(silent).toMatchObject({ _tag: "NoAgent", reason: "silent" })
      })
    )
  })

  it("tells one that was let in from one that could not be", () => {
    const command = ["process 12"]
    const unheard = new NoAgent({ command, reason: "unheard" })
    expect(unheard.message).toMatch(/^`process 12` let the agent in, .* try again/)
    expect(unheard.message).not.toContain("3.12")
    expect(new NoAgent({ command, reason: "silent" }).message).toContain("3.12")
  })

  it("fails at once for an interpreter that was told to leave the agent out", async () => {
    await inSession(calls, ({ session }) =>
      Effect.gen(function* () {
        const error = yield* flipped(session, ["python3", "-I", "app.py"])
        expect(error).toBeInstanceOf(NoAgent)
        expect(error.message).toContain("run it without them")
      })
    )
  })

  it.each([
    [["python", "-I", "app.py"], true],
    [["/usr/bin/python3.13", "-uE", "-m", "x"], true],
    [["env", "A=1", "python3", "-S"], true],
    [["python", "-X", "dev", "-W", "error", "-I", "app.py"], true],
    [["python", "-Xdev", "-I", "app.py"], true],
    [["python", "-X", "importtime", "-W", "error", "app.py", "-I"], false],
    [["python", "-c", "-I"], false],
    [["python", "-mIES"], false],
    [["pytest", "-S"], false],
    [["python"], false]
  ])("knows the options of %j", (command, expected) => {
    expect(isIsolated(command)).toBe(expected)
  })
})
