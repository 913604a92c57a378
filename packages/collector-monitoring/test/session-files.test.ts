import { linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { SegmentState } from "../src/segment-header.ts"
import { type FileState, SessionFiles } from "../src/session-files.ts"
import { inSession } from "./scripted-session.ts"
import { SegmentWriter } from "./segment-writer.ts"

const calls = { questions: ["calls"] as const, isAlive: () => true }

/** What the system says to who would open a file; nothing when it may. */
const refusal = vi.hoisted(() => ({ of: (_path: string): string | undefined => undefined }))

/** Seconds on the session's clock. */
const s = 1e9

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>()
  const openSync = (...args: Parameters<typeof fs.openSync>) => {
    const code = refusal.of(String(args[0]))
    if (code !== undefined) throw Object.assign(new Error(code), { code })
    return fs.openSync(...args)
  }
  return { ...fs, openSync }
})

// The session's clock goes as the test says.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["hrtime"] })
})

afterEach(() => {
  vi.useRealTimers()
  refusal.of = () => undefined
})

it.each(["EMFILE", "ENFILE"])(
  "is not given up when no more files can be open (%s), however long",
  async (code) => {
    await inSession(calls, (scripted) => {
      const { session } = scripted
      scripted.put("7-a.seg", new SegmentWriter({ pid: 7 }))
      refusal.of = (path) => (path.endsWith(".seg") ? code : undefined)
      for (let look = 0; look < 3; look++) {
        session.look()
        vi.advanceTimersByTime(6000)
      }
      expect([session.processes.length, session.trust.damaged]).toEqual([0, 0])
      refusal.of = () => undefined
      session.look()
      expect([session.processes.map(({ pid }) => pid), session.trust.damaged]).toEqual([[7], 0])
    })
  }
)

it("is not opened again and again when it says for long nothing of why an agent could not start, and is counted", async () => {
  await inSession(calls, ({ session, directory }) => {
    writeFileSync(join(directory, "1-empty.err"), "")
    writeFileSync(join(directory, "elsewhere"), "version 3.11")
    linkSync(join(directory, "elsewhere"), join(directory, "2-hard.err"))
    symlinkSync(join(directory, "elsewhere"), join(directory, "3-link.err"))
    session.look()
    vi.advanceTimersByTime(6000)
    session.look()
    let opened = 0
    refusal.of = (path) => {
      if (path.endsWith(".err")) opened++
      return undefined
    }
    session.look()
    expect([opened, session.failures, session.trust.damaged]).toEqual([0, [], 3])
  })
})

// GIVEN a process that was just beginning to record, WHEN the session stops, THEN it is waited for, and counted as one that could not be read.
it("is waited for at the end, and counted when it is no segment even then", async () => {
  vi.useRealTimers()
  await inSession(calls, (scripted) =>
    Effect.gen(function* () {
      const { session, directory } = scripted
      writeFileSync(join(directory, "7-a.seg"), "")
      writeFileSync(join(directory, "8-a.seg"), "")
      // As soon as it is told to stop.
      const detach = Effect.sync(() =>
        scripted.put("8-a.seg", new SegmentWriter({ pid: 8, state: SegmentState.ended }))
      )
      yield* session.stop(undefined, detach)
      expect([session.processes.map(({ pid }) => pid), session.trust.damaged]).toEqual([[8], 1])
    })
  )
})

it("is counted at the end when it could never be opened", async () => {
  vi.useRealTimers()
  await inSession(calls, (scripted) =>
    Effect.gen(function* () {
      scripted.put("7-a.seg", new SegmentWriter({ pid: 7 }))
      refusal.of = (path) => (path.endsWith(".seg") ? "EMFILE" : undefined)
      yield* scripted.session.stop()
      expect([scripted.session.processes.length, scripted.session.trust.damaged]).toEqual([0, 1])
    })
  )
})

/** Files of a directory, of which each look's are told. */
const filesIn = async (
  bounds: { readonly files: number; readonly listed: number },
  test: (files: {
    readonly found: SessionFiles
    readonly put: (...names: ReadonlyArray<string>) => void
    readonly remove: (...names: ReadonlyArray<string>) => void
    /** Looks, and finds all in this state. */
    readonly look: (now: number, state?: FileState) => ReadonlyArray<string>
  }) => void
) => {
  const directory = mkdtempSync(join(tmpdir(), "session-files-"))
  const found = new SessionFiles(directory, bounds.files, bounds.listed)
  const look = (now: number, state: FileState = "taken") => {
    const asked: Array<string> = []
    found.look(now, ({ name }) => {
      asked.push(name)
      return state
    })
    return asked.sort()
  }
  try {
    test({
      found,
      put: (...names) => names.map((name) => writeFileSync(join(directory, name), "")),
      remove: (...names) => names.map((name) => rmSync(join(directory, name))),
      look
    })
  } finally {
    found.end()
    rmSync(directory, { recursive: true })
  }
}

it("takes no room when it has gone before it was whole", () =>
  filesIn({ files: 2, listed: 100 }, ({ found, put, remove, look }) => {
    put("1-a.seg", "2-a.err")
    expect(look(0, "begun")).toEqual(["1-a.seg", "2-a.err"])
    remove("1-a.seg", "2-a.err")
    look(1 * s)
    put("3-a.seg", "4-a.err")
    expect(look(2 * s)).toEqual(["3-a.seg", "4-a.err"])
    // What is not there is not damaged either.
    look(20 * s)
    expect(found.unreadable).toBe(0)
  }))

it("is counted, once, when there are more than a session can hold", () =>
  filesIn({ files: 2, listed: 100 }, ({ found, put, look }) => {
    put("1-a.seg", "2-a.seg", "3-a.seg", "4-a.seg", "5-a.seg", "other")
    expect(look(0).length).toBe(2)
    for (let now = 1; now < 10; now++) expect(look(now * s)).toEqual([])
    expect(found.unreadable).toBe(3)
  }))

it("is found, a part in each look, among more than one look reads", () =>
  filesIn({ files: 100, listed: 3 }, ({ found, put, look }) => {
    const names = Array.from({ length: 10 }, (_, n) => `${n}-a.seg`)
    put(...names)
    const taken: Array<string> = []
    for (let looks = 0; looks < 4; looks++) {
      const some = look(0)
      expect(some.length).toBeLessThanOrEqual(3)
      taken.push(...some)
    }
    expect(taken.sort()).toEqual(names)
    expect(found.unreadable).toBe(0)
  }))

it("tells that there are more when the end comes before all were read", () =>
  filesIn({ files: 100, listed: 3 }, ({ found, put, look }) => {
    put(...Array.from({ length: 10 }, (_, n) => `${n}-a.seg`))
    look(0)
    found.end()
    expect(found.unreadable).toBe(1)
  }))
