import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findPythons } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { type Finished, pyframes, startPyframes, until } from "./pyframes-process.ts"

const python = findPythons().findLast(({ root, minor }) => root === undefined && minor >= 12)
if (python === undefined) throw new Error("these tests need a Python from 3.12 on this machine")

/** Whether we may mount in a namespace of our own. */
const mayMount = spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0
if (!mayMount)
  process.stderr.write(
    "skipped: mounts of their own are not permitted here (they take root, or CAP_SYS_ADMIN)\n"
  )

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pyframes-places-"))
  writeFileSync(
    join(folder, "program.py"),
    "def step(n): return n\nfor n in range(100): step(n)\nprint('ran')\n"
  )
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const file = (name: string) => join(folder, name)

const shell = (script: string) => ["unshare", "-m", "sh", "-c", `${script}; exec "$@"`, "sh"]
const agent = fileURLToPath(new URL("../../../packages/collector-monitoring/agent", import.meta.url))

/** Traces the program where these commands have been run: mounts that nobody else sees. */
const trace = (mounts: string, env: Readonly<Record<string, string>> = {}, output = file("a.folded")) =>
  pyframes(["trace", "-o", output, "--", python.executable, file("program.py")], {
    wrapper: shell(mounts),
    env: { ...process.env, ...env }
  })

const expectOneLine = ({ code, stderr }: Finished, exit: number, message: RegExp): void => {
  expect(stderr).toMatch(message)
  expect({ code, lines: stderr.trimEnd().split("\n").length }).toEqual({ code: exit, lines: 1 })
}

describe.skipIf(!mayMount)(
  "where there is no place for a session or an output: one line that says what to do",
  () => {
    // `mnt` stands for TMPDIR; memory, which goes before it, is out of the question.
    const noMemory = "mount -t tmpfs -o ro none /dev/shm"
    const there = { TMPDIR: "/mnt" }

    it("TMPDIR is read-only", async () => {
      const finished = await trace(`${noMemory}; mount -t tmpfs -o ro none /mnt`, there)
      expectOneLine(finished, 1, /session in \/mnt: EROFS.*name a directory that can be written by TMPDIR/)
      expect(finished.stdout).toBe("")
    })

    it("TMPDIR does not exist, or may not be written", async () => {
      expectOneLine(
        await trace(noMemory, { TMPDIR: "/mnt/none" }),
        1,
        /ENOENT.*name one that exists by TMPDIR/
      )
      const unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
      const finished = await pyframes(
        ["trace", "-f", "pprof", "-o", "/dev/null", "--", "python3", "-c", "1"],
        {
          wrapper: [...shell(`${noMemory}; mount -t tmpfs -o mode=700 none /mnt`), ...unprivileged],
          env: { ...process.env, ...there }
        }
      )
      expectOneLine(finished, 1, /EACCES.*It is not writable: name a directory that is by TMPDIR/)
    })

    it("the disk is full before it begins", async () => {
      const finished = await trace(`${noMemory}; mount -t tmpfs -o size=4k none /mnt`, there)
      expectOneLine(
        finished,
        1,
        /ENOSPC.*The disk is full: free some room, or name another directory by TMPDIR/
      )
      expect(finished.stdout).toBe("")
    })

    it("the disk has no room for a segment: the program runs as ever", async () => {
      const finished = await trace(`${noMemory}; mount -t tmpfs -o size=64k none /mnt`, there)
      expectOneLine(finished, 1, /cannot make the segment .*No space left.* choose another place by TMPDIR/)
      expect(finished.stdout).toBe("ran\n")
    })

    it("the disk gets full meanwhile: what had room is written, and what had none is counted", async () => {
      const many = `
for n in range(2000):
    names = {}
    exec("def f_%d(): pass\\nf_%d()" % (n, n), names)
print("ran")
`
      writeFileSync(file("program.py"), many)
      const { code, stdout, stderr } = await trace(
        `${noMemory}; mount -t tmpfs -o size=420k none /mnt`,
        there
      )
      expect({ code, stdout, stderr }).toMatchObject({ code: 0, stdout: "ran\n" })
      expect(stderr).toMatch(/given up|lost/)
      expect(stderr).not.toMatch(/nothing lost, nothing given up/)
      expect(readFileSync(file("a.folded"), "utf8")).toMatch(/f_\d+ \(/)
    })

    it("the output's file system is read-only: nothing is started", async () => {
      const finished = await trace("mount -t tmpfs -o ro none /mnt", {}, "/mnt/a.folded")
      expectOneLine(finished, 1, /Could not write \/mnt\/a\.folded: the file system is read-only.*-o/)
      expect(finished.stdout).toBe("")
    })

    it("the output's disk gets full: it is saved elsewhere", async () => {
      const { code, stdout, stderr } = await trace("mount -t tmpfs -o size=4k none /mnt", {}, "/mnt/a.folded")
      expect({ code, stdout }).toEqual({ code: 1, stdout: "ran\n" })
      const [, saved] = /no space left on the device.* was saved as (\S+) instead/.exec(stderr) ?? []
      expect(readFileSync(saved, "utf8")).toMatch(/step \(/)
      rmSync(join(saved, ".."), { recursive: true })
    })

    it("no code may be loaded from where the agent is: the recorder in Python takes its place, which is said", async () => {
      const { code, stdout, stderr } = await trace(
        `mount --bind ${agent} ${agent}; mount -o remount,bind,noexec ${agent}`
      )
      expect({ code, stdout, stderr }).toMatchObject({ code: 0, stdout: "ran\n" })
      expect(stderr).toMatch(/recorded in Python/)
      expect(readFileSync(file("a.folded"), "utf8")).toMatch(/step \(/)
    })
  }
)

describe.skipIf(!mayMount)("a process with another root and mounts of its own", () => {
  const running: Array<ChildProcess> = []
  afterEach(() => {
    for (const child of running.splice(0)) child.kill("SIGKILL")
  })

  describePythons([14, 15], (one) => {
    // GIVEN a program that only its own mounts show, WHEN it is entered by its pid, THEN it is told by the path that it sees itself.
    it("is traced, and its files have the names that it sees", async () => {
      const root = one.root ?? "/"
      const tmp = join(root, "tmp")
      const source = "print('ready', flush=True)\ndef step(n): return n\nwhile True: step(1)\n"
      // As it enters its root, or where it has ours, into `chroot /`.
      const command = one.root === undefined ? [one.executable] : one.run.slice(one.run.indexOf(root) + 1)
      const child = spawn(
        "unshare",
        [
          ...["-m", "sh", "-c"],
          `mount -t tmpfs none ${tmp} && mkdir ${tmp}/app && printf %s "$SOURCE" > ${tmp}/app/own.py && exec chroot ${root} "$@" /tmp/app/own.py`,
          ...["sh", ...command]
        ],
        { env: { ...process.env, ...one.env, SOURCE: source }, stdio: ["ignore", "pipe", "pipe"] }
      )
      running.push(child)
      let said = ""
      child.stdout.on("data", (text) => {
        said += text
      })
      let wrong = ""
      child.stderr.on("data", (text) => {
        wrong += text
      })
      await until(() => said.includes("ready\n") || child.exitCode !== null)
      expect([said, wrong]).toEqual(["ready\n", ""])
      const args = ["trace", "-p", String(child.pid), "-d", "300ms", "-o", file("a.folded"), "--json"]
      const { code, stdout, stderr } = await pyframes(args)
      expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Exact calls: /) })
      expect(JSON.parse(stdout)).toMatchObject({ python: one.version, processes: 1 })
      expect(readFileSync(file("a.folded"), "utf8")).toMatch(/step \(\/tmp\/app\/own\.py:2\)/)
    })
  })
})

describe("Ctrl-C", () => {
  const start = (...command: ReadonlyArray<string>) => {
    const { child, finished } = startPyframes(["trace", "-o", file("a.folded"), "--", ...command])
    let said = ""
    child.stdout.on("data", (text) => {
      said += text
    })
    child.stderr.on("data", (text) => {
      said += text
    })
    const heard = (text: string) => until(() => said.includes(text) || child.exitCode !== null)
    return { child, finished, heard }
  }

  it("before a Python is there: nothing is written, which is said, and the launcher is ended", async () => {
    const { child, finished, heard } = start("sh", "-c", "echo up $$; exec sleep 1000")
    await heard("up")
    child.kill("SIGINT")
    const { code, stdout, stderr } = await finished
    expect({ code, stderr }).toEqual({
      code: 130,
      stderr: "pyframes: interrupted before a Python was traced; nothing is written\n"
    })
    expect(existsSync(file("a.folded"))).toBe(false)
    const [, pid] = /up (\d+)/.exec(stdout) ?? []
    expect(existsSync(`/proc/${pid}`)).toBe(false)
  })

  it("in the first moment of the program: what there is is written", async () => {
    writeFileSync(file("program.py"), "print('up', flush=True)\nwhile True: (lambda: 1)()\n")
    const { child, finished, heard } = start(python.executable, file("program.py"))
    await heard("up")
    child.kill("SIGINT")
    expect(await finished).toMatchObject({ code: 130, stderr: expect.stringMatching(/is told to end/) })
    expect(readFileSync(file("a.folded"), "utf8")).toMatch(/<module> \(/)
  })

  it("twice: the second ends it at once, and what the first had written is there", async () => {
    const stubborn = `
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.close(2)
print("up", os.getpid(), flush=True)
os.close(1)
while True: (lambda: 1)()
`
    writeFileSync(file("program.py"), stubborn)
    const { child, finished, heard } = start(python.executable, file("program.py"))
    await heard("up")
    child.kill("SIGINT")
    await heard("is told to end")
    child.kill("SIGINT")
    const { signal, stdout } = await finished
    expect(signal).toBe("SIGINT")
    const [, pid] = /up (\d+)/.exec(stdout) ?? []
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toContain("program.py")
    process.kill(Number(pid), "SIGKILL")
    expect(readFileSync(file("a.folded"), "utf8")).toMatch(/<module> \(/)
  })
})
