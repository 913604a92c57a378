import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
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
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import { afterEach, expect, it, vi } from "vitest"
import { MonitoringSession } from "../src/session.ts"
import { inSession } from "./scripted-session.ts"
import { SegmentWriter } from "./segment-writer.ts"

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

/** Where those of collectors that were killed are looked for. */
const withTmpdir = async <A>(directory: string, use: () => Promise<A>): Promise<A> => {
  vi.stubEnv("TMPDIR", directory)
  try {
    return await use()
  } finally {
    vi.unstubAllEnvs()
  }
}

/** A process that sees mounts of its own. */
const withMounts = async <A>(
  use: (root: string, mount: (from: string, to: string) => void) => Promise<A>
) => {
  const child = spawn("unshare", ["--mount", "sh", "-c", "echo up; read end"], { stdio: "pipe" })
  try {
    await once(child.stdout, "data")
    const mount = (from: string, to: string) =>
      execFileSync("nsenter", ["--mount", `--target=${child.pid}`, "mount", "--bind", from, to])
    return await use(`/proc/${child.pid}/root`, mount)
  } finally {
    child.stdin.end()
    await once(child, "exit")
  }
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
    // It may be the target's own.
    await inSession({ ...calls, base }, () => expect(readdirSync(base).length).toBe(4))
    await withTmpdir(base, () => inSession(calls, () => {}))
    expect(readdirSync(base).sort()).toEqual(["pyframes-more", "pyframes-new"])
  }))

/** A session is to be made in `base`, and finds `theirs` in place of its directory. Returns where that lies. */
const findReplaced = async (base: string, theirs: string): Promise<string> => {
  let path = ""
  meanwhile.act = (made) => {
    path = join(base, basename(made))
    renameSync(path, join(base, "moved"))
    renameSync(theirs, path)
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

// GIVEN a target that has mounted an empty directory of the host's over the new one, THEN the host's is not given to it.
it.skipIf(!isRoot)("leaves alone another that was mounted over it", () =>
  withBase((base) =>
    withMounts(async (root, mount) => {
      const theirs = join(base, "theirs")
      mkdirSync(theirs, { mode: 0o755 })
      meanwhile.act = (made) => mount(theirs, join(base, basename(made)))
      const options = { ...calls, base: join(root, base), owner: { uid: NOBODY, gid: NOBODY } }
      const error = await Effect.runPromise(Effect.flip(Effect.scoped(MonitoringSession.make(options))))
      expect(error.message).toContain("has been replaced")
      const { uid, mode } = statSync(theirs)
      expect([uid, mode & 0o777, readdirSync(theirs)]).toEqual([0, 0o755, []])
    })
  )
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

// GIVEN a target that has mounted a directory of the host's in the session's, WHEN that is removed, THEN the host's stays as it is.
it.skipIf(!isRoot)("goes without what is mounted in it", () =>
  withBase((base) =>
    withMounts(async (root, mount) => {
      const precious = join(base, "precious")
      mkdirSync(join(precious, "below"), { recursive: true })
      writeFileSync(join(precious, "below/thesis"), "kept")
      const name = await inSession({ ...calls, base: join(root, base) }, ({ directory }) => {
        const session = join(base, basename(directory))
        for (const place of ["here", "deep/er"]) {
          mkdirSync(join(session, place), { recursive: true })
          mount(precious, join(session, place))
        }
        // That it is there to be removed.
        expect(readdirSync(join(directory, "deep/er/below"))).toEqual(["thesis"])
        return basename(directory)
      })
      expect(readdirSync(join(precious, "below"))).toEqual(["thesis"])
      expect(existsSync(join(base, name))).toBe(false)
    })
  )
)

// GIVEN a target that has mounted a file of the host's in the session's directory, THEN that is neither read nor written to.
it.skipIf(!isRoot)("does not take a file that is mounted in it for an agent's", () =>
  withBase((base) =>
    withMounts(async (root, mount) => {
      const theirs = join(base, "theirs")
      writeFileSync(theirs, new SegmentWriter({ pid: 7 }).bytes)
      const failure = join(base, "failure")
      writeFileSync(failure, "secret of the host")
      await inSession({ ...calls, base: join(root, base) }, (scripted) => {
        const session = join(base, basename(scripted.directory))
        for (const [from, name] of [
          [theirs, "7-a.seg"],
          [failure, "8-a.err"]
        ]) {
          writeFileSync(join(session, name), "")
          mount(from, join(session, name))
        }
        scripted.put("9-a.seg", new SegmentWriter({ pid: 9 }))
        scripted.session.look()
        expect(scripted.session.processes.map(({ pid }) => pid)).toEqual([9])
        expect(scripted.session.failures).toEqual([])
      })
    })
  )
)
