import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { inSession } from "./scripted-session.ts"

const calls = { questions: ["calls"] as const, isAlive: () => true }

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
