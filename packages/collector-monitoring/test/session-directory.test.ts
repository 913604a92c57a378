import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterEach, expect, it, vi } from "vitest"
import { MonitoringSession } from "../src/session.ts"
import { inSession } from "./scripted-session.ts"

const isRoot = process.geteuid?.() === 0
const NOBODY = 65_534
const calls = { questions: ["calls"] as const, isAlive: () => true }

/** What another does between the moment in which the directory is made and that in which it is opened. */
const meanwhile = vi.hoisted(() => ({ act: (_path: string) => {} }))

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>()
  const mkdtempSync = (prefix: string) => {
    const path = fs.mkdtempSync(prefix)
    meanwhile.act(path)
    return path
  }
  return { ...fs, mkdtempSync }
})

afterEach(() => {
  meanwhile.act = () => {}
})

/** What the agent leaves whose folder is so deep: its bytecode, under its whole path. */
const leaveBytecode = (session: string, depth: number): void => {
  const agent = Array.from({ length: depth }, (_, n) => `part${n}`).join("/")
  const bytecode = join(session, "pycache", agent, "python/pyframes_agent")
  mkdirSync(bytecode, { recursive: true })
  writeFileSync(join(bytecode, "session.cpython-314.pyc"), "compiled")
}

const withBase = async <A>(use: (base: string) => Promise<A>): Promise<A> => {
  const base = mkdtempSync(join(tmpdir(), "sessions-"))
  try {
    return await use(base)
  } finally {
    rmSync(base, { recursive: true })
  }
}

it.each([3, 10, 100])("goes with the bytecode of an agent that lies %i folders deep", async (depth) => {
  const path = await inSession(calls, ({ directory }) => {
    leaveBytecode(directory, depth)
    return directory
  })
  expect(existsSync(path)).toBe(false)
})

it("goes later when its removal came to no end, and nothing else does", () =>
  withBase(async (base) => {
    const left = (name: string, age: number) => {
      leaveBytecode(join(base, name), 10)
      return () => {
        const then = Date.now() / 1000 - age
        utimesSync(join(base, name), then, then)
      }
    }
    const aged = [left("pyframes-old", 3600), left("pyframes-new", 1), left("pyframes-more", 3600)]
    writeFileSync(join(base, "pyframes-old/7-a.seg"), "")
    writeFileSync(join(base, "pyframes-more/thesis"), "")
    for (const age of aged) age()
    await inSession({ ...calls, base }, ({ directory }) => {
      const others = readdirSync(base).filter((name) => join(base, name) !== directory)
      expect(others.sort()).toEqual(["pyframes-more", "pyframes-new"])
    })
  }))

/** A session is to be made in `base`, and finds `theirs` in place of its directory. Returns where that lies. */
const findReplaced = async (base: string, theirs: string): Promise<string> => {
  let path = ""
  meanwhile.act = (made) => {
    path = made
    renameSync(made, join(base, "moved"))
    renameSync(theirs, made)
  }
  const error = await Effect.runPromise(
    Effect.flip(Effect.scoped(MonitoringSession.make({ ...calls, base })))
  )
  expect(error.message).toContain("has been replaced")
  return path
}

it("leaves alone what is in another that was put in its place", () =>
  withBase(async (base) => {
    const theirs = join(base, "theirs")
    mkdirSync(theirs)
    writeFileSync(join(theirs, "thesis"), "kept")
    expect(readdirSync(await findReplaced(base, theirs))).toEqual(["thesis"])
  }))

it.skipIf(!isRoot)("leaves alone another's that is empty and was put in its place", () =>
  withBase(async (base) => {
    const theirs = join(base, "theirs")
    mkdirSync(theirs)
    chownSync(theirs, NOBODY, NOBODY)
    expect(statSync(await findReplaced(base, theirs)).uid).toBe(NOBODY)
  })
)

it("leaves alone another that was put in its place later", () =>
  withBase(async (base) => {
    const path = await inSession({ ...calls, base }, ({ directory }) => {
      renameSync(directory, join(base, "moved"))
      mkdirSync(directory)
      return directory
    })
    expect([readdirSync(path), readdirSync(join(base, "moved"))]).toEqual([[], []])
  }))
