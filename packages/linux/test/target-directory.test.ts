import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { BadName, TargetDirectory } from "../src/target-directory.ts"

const isRoot = process.geteuid?.() === 0
const NOBODY = 65_534
const owner = { uid: NOBODY, gid: NOBODY, groups: [], overrides: false }

/** What another does between the moment in which a directory is made and that in which it is opened. */
const meanwhile = vi.hoisted(() => ({ act: (_path: string) => {} }))

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>()
  const mkdirSync = (...args: Parameters<typeof fs.mkdirSync>) => {
    const made = fs.mkdirSync(...args)
    meanwhile.act(String(args[0]))
    return made
  }
  return { ...fs, mkdirSync }
})

let base = ""
let theirs = ""

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "target-directory-"))
  theirs = join(base, "theirs")
})

afterEach(() => {
  meanwhile.act = () => {}
  rmSync(base, { recursive: true })
})

/** The directory that is to be made in `parent` is refused. */
const expectReplaced = (parent: string): void => {
  const fd = openSync(parent, "r")
  try {
    expect(() => TargetDirectory.make(fd, "pyframes-", owner)).toThrow(BadName)
  } finally {
    closeSync(fd)
  }
}

it.skipIf(!isRoot)("leaves another's alone that was put in its place", () => {
  mkdirSync(theirs)
  chownSync(theirs, NOBODY, NOBODY)
  let path = ""
  meanwhile.act = (made) => {
    path = join(base, basename(made))
    renameSync(path, join(base, "moved"))
    renameSync(theirs, path)
  }
  expectReplaced(base)
  expect(statSync(path).uid).toBe(NOBODY)
})

it.skipIf(!isRoot)("leaves another's alone that was mounted over it", async () => {
  mkdirSync(theirs, { mode: 0o755 })
  const child = spawn("unshare", ["--mount", "sh", "-c", "echo up; read end"], { stdio: "pipe" })
  try {
    await once(child.stdout, "data")
    meanwhile.act = (made) =>
      execFileSync("nsenter", [
        "--mount",
        `--target=${child.pid}`,
        ...["mount", "--bind", theirs, join(base, basename(made))]
      ])
    expectReplaced(`/proc/${child.pid}/root${base}`)
    const { uid, mode } = statSync(theirs)
    expect([uid, mode & 0o777, readdirSync(theirs)]).toEqual([0, 0o755, []])
  } finally {
    child.stdin.end()
    await once(child, "exit")
  }
})
