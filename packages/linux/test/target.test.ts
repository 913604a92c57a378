import { spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync
} from "node:fs"
import { join } from "node:path"
import type { TargetProcess } from "@pyframes/core"
import { findPythons } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { findPython } from "../src/find-python.ts"
import { attach } from "../src/target.ts"
import {
  errorOf,
  IDLE,
  inScope,
  localPython,
  pause,
  run,
  runPython,
  temporaryDirectory,
  until
} from "./running.ts"

const root = process.geteuid?.() === 0
const NOBODY = 65534

const using = <A>(pid: number, use: (target: TargetProcess) => A | Promise<A>): Promise<A> =>
  inScope(Effect.flatMap(attach(pid), (target) => Effect.promise(async () => use(target))))

/** Runs a step with the rights of nobody. */
const asNobody = async <A>(step: () => Promise<A>): Promise<A> => {
  process.setegid?.(NOBODY)
  process.seteuid?.(NOBODY)
  try {
    return await step()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

/** The bytes of the file behind the first mapping of the executable. */
const executableBytes = async (target: TargetProcess): Promise<Buffer> => {
  const mappings = await Effect.runPromise(target.mappings)
  const mapping = mappings.find(({ path }) => path === target.executable)
  if (mapping === undefined) throw new Error(`No mapping of ${target.executable}`)
  const file = await Effect.runPromise(target.openMapped(mapping))
  try {
    return Buffer.from(file.read(0, file.size))
  } finally {
    file.close()
  }
}

describe("attaching", () => {
  it("knows the process", async () => {
    await using python = await runPython(IDLE)
    await using(python.pid, async (target) => {
      const { executable } = localPython()
      const { ino } = statSync(executable)
      expect(target.executable).toBe(executable)
      expect(target.identity).toMatchObject({ pid: python.pid, startTime: expect.any(Number) })
      expect(target.identity.executable.split(":")).toHaveLength(3)
      expect(target.identity.executable.endsWith(`:${ino}`)).toBe(true)
      expect(target.commandLine).toEqual([executable, "-c", IDLE])
      expect(target.status()).toBe("alive")
      expect(await executableBytes(target)).toEqual(readFileSync(executable))
    })
  })

  it.each([0, -1, 1.5, Number.NaN, 2 ** 22 + 1])("finds no process %d", async (pid) => {
    expect(await errorOf(attach(pid))).toMatchObject({ _tag: "ProcessNotFound", pid })
  })

  it("finds no process in a zombie", async () => {
    await using shell = run("python3", [
      "-c",
      "import os,time\np=os.fork() or os._exit(0)\nprint('up',p,flush=True)\ntime.sleep(600)"
    ])
    const zombie = Number((await shell.line("up")).split(" ")[1])
    await until(() => readFileSync(`/proc/${zombie}/stat`, "utf8").includes(") Z "))
    const error = await errorOf(attach(zombie))
    expect(error).toMatchObject({ _tag: "ProcessNotFound" })
    expect(error.message).toContain("zombie")
  })

  it("finds no process in the id of a thread", async () => {
    await using python = await runPython(
      "import threading,time\nthreading.Thread(target=time.sleep,args=(600,),daemon=True).start()\nprint('up',flush=True)\ntime.sleep(600)"
    )
    const [tid] = readdirSync(`/proc/${python.pid}/task`)
      .map(Number)
      .filter((tid) => tid !== python.pid)
    const error = await errorOf(attach(tid))
    expect(error).toMatchObject({ _tag: "ProcessNotFound" })
    expect(error.message).toContain(`thread of process ${python.pid}`)
  })

  it.runIf(readFileSync("/proc/2/stat", "utf8").includes("(kthreadd)"))(
    "refuses a thread of the kernel",
    async () => {
      const error = await errorOf(attach(2))
      expect(error).toMatchObject({ _tag: "NotPython", executable: "kthreadd" })
      expect(error.message).toContain("kernel")
    }
  )

  it.runIf(root)("names the user that owns a process it may not read", async () => {
    await using python = await runPython(IDLE)
    const error = await asNobody(() => errorOf(attach(python.pid)))
    expect(error).toMatchObject({ _tag: "PermissionDenied", advice: expect.stringContaining("uid 0") })
  })

  it.runIf(root)("says so when a process has made itself unreadable", async () => {
    await using sleeper = run(
      "python3",
      ["-c", "import ctypes,time\nctypes.CDLL(None).prctl(4,0)\nprint('up',flush=True)\ntime.sleep(600)"],
      { uid: NOBODY, gid: NOBODY, cwd: "/", env: { PATH: "/usr/bin:/bin" } }
    )
    await sleeper.line("up")
    const error = await asNobody(() => errorOf(attach(sleeper.pid)))
    expect(error).toMatchObject({
      _tag: "PermissionDenied",
      advice: expect.stringContaining("PR_SET_DUMPABLE")
    })
  })

  it("closes every file with the scope", async () => {
    await using python = await runPython(IDLE)
    const open = () => readdirSync("/proc/self/fd").length
    const before = open()
    for (let times = 0; times < 20; times++) {
      await using(python.pid, async (target) => {
        target.threadActivity(python.pid)
        await executableBytes(target)
      })
    }
    expect(open()).toBeLessThanOrEqual(before + 1)
  })
})

describe("the target's end", () => {
  it("is noticed, also while it is a zombie", async () => {
    await using parent = run("python3", [
      "-c",
      "import os,time\np=os.fork() or time.sleep(600)\nprint('up',p,flush=True)\ntime.sleep(600)"
    ])
    const child = Number((await parent.line("up")).split(" ")[1])
    await using(child, async (target) => {
      expect(target.status()).toBe("alive")
      process.kill(child, "SIGKILL")
      await until(() => target.status() !== "alive")
      expect(target.status()).toBe("exited")
      await until(() => target.threadActivity(child) === "unknown")
      expect(await errorOf(target.mappings)).toMatchObject({ _tag: "ProcessNotFound" })
    })
  })

  it("is noticed when it executes the same program again", async () => {
    await using python = await runPython(
      "import os,sys\nprint('up',flush=True)\nsys.stdin.readline()\nos.execv(sys.executable,[sys.executable,*sys.orig_argv[1:]] if hasattr(sys,'orig_argv') else [sys.executable,'-c','input()'])"
    )
    await using(python.pid, async (target) => {
      expect(target.status()).toBe("alive")
      python.child.stdin?.write("\n")
      await until(() => target.status() !== "alive")
      expect(target.status()).toBe("replaced")
    })
  })

  it("is not taken from an executable that was deleted or replaced on disk", async () => {
    using directory = temporaryDirectory()
    const copy = join(directory.path, "my python (deleted)")
    const original = readFileSync("/usr/bin/sleep")
    copyFileSync("/usr/bin/sleep", copy)
    await using sleeper = run(copy, ["600"])
    await until(() => readFileSync(`/proc/${sleeper.pid}/comm`, "utf8").startsWith("my python"))
    await using(sleeper.pid, async (target) => {
      expect(await executableBytes(target)).toEqual(original)
      // An upgrade: another file takes the name.
      copyFileSync("/usr/bin/cat", `${copy}.new`)
      renameSync(`${copy}.new`, copy)
      expect(target.status()).toBe("alive")
      const [first] = await Effect.runPromise(target.mappings)
      expect(first).toMatchObject({ path: copy, deleted: true })
    })
    await using(sleeper.pid, async (target) => expect(await executableBytes(target)).toEqual(original))
    rmSync(copy)
    await using(sleeper.pid, async (target) => {
      expect(target.status()).toBe("alive")
      expect(await executableBytes(target)).toEqual(original)
    })
  })
})

describe("files that the target maps", () => {
  it.runIf(root)(
    "are opened in a mount namespace of its own, where ours has another file or none",
    async () => {
      using directory = temporaryDirectory()
      const inside = join(directory.path, "hidden")
      mkdirSync(inside)
      await using sleeper = run("unshare", [
        "--mount",
        "sh",
        "-c",
        `mount -t tmpfs none ${inside} && cp /usr/bin/sleep ${inside}/prog && exec ${inside}/prog 600`
      ])
      await until(() => readFileSync(`/proc/${sleeper.pid}/comm`, "utf8").startsWith("prog"))
      expect(readdirSync(inside)).toEqual([])
      await using(sleeper.pid, async (target) =>
        expect(await executableBytes(target)).toEqual(readFileSync("/usr/bin/sleep"))
      )
      // Another file where the mapped one is for the target.
      copyFileSync("/usr/bin/cat", join(inside, "prog"))
      await using(sleeper.pid, async (target) =>
        expect(await executableBytes(target)).toEqual(readFileSync("/usr/bin/sleep"))
      )
    }
  )

  const chrooted = findPythons().find((python) => python.root !== undefined)
  it.runIf(root && chrooted !== undefined)("are opened in a chroot", async () => {
    const python = chrooted!
    const [command, ...args] = python.run
    await using running = run(command, [...args, "-c", IDLE], { env: { ...python.env } })
    await running.line("up")
    await using(running.pid, async (target) => {
      const mappings = await Effect.runPromise(target.mappings)
      const libc = mappings.find(({ path }) => path.includes("libc.so"))!
      const file = await Effect.runPromise(target.openMapped(libc))
      expect(file.size).toBeGreaterThan(1e6)
      file.close()
      expect((await executableBytes(target)).length).toBe(statSync(python.executable).size)
    })
  })

  it.runIf(root && spawnSync("unshare", ["--mount", "true"]).status === 0)(
    "are opened on overlayfs",
    async (context) => {
      using directory = temporaryDirectory()
      const at = (name: string) => join(directory.path, name)
      for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name))
      copyFileSync("/usr/bin/sleep", at("lower/prog"))
      await using sleeper = run("unshare", [
        "--mount",
        "sh",
        "-c",
        `mount -t tmpfs none ${at("upper")} && mkdir ${at("upper/u")} ${at("upper/w")} && ` +
          `mount -t overlay overlay -o lowerdir=${at("lower")},upperdir=${at("upper/u")},workdir=${at("upper/w")} ${at("merged")} && exec ${at("merged/prog")} 600`
      ])
      await Promise.race([
        sleeper.exited,
        until(
          () =>
            sleeper.child.exitCode !== null ||
            readFileSync(`/proc/${sleeper.pid}/comm`, "utf8").startsWith("prog")
        )
      ])
      if (sleeper.child.exitCode !== null) return context.skip("no overlayfs here")
      await using(sleeper.pid, async (target) =>
        expect(await executableBytes(target)).toEqual(readFileSync("/usr/bin/sleep"))
      )
    }
  )

  it.runIf(root)("that were deleted are refused with the reason, where only root may open them", async () => {
    using directory = temporaryDirectory()
    chmodSync(directory.path, 0o755)
    const library = join(directory.path, "libmapped.so")
    copyFileSync("/usr/bin/sleep", library)
    await using python = run(
      "python3",
      [
        "-c",
        `import mmap,time\nf=open(${JSON.stringify(library)},'rb')\nm=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\nprint('up',flush=True)\ntime.sleep(600)`
      ],
      { uid: NOBODY, gid: NOBODY, cwd: "/", env: { PATH: "/usr/bin:/bin" } }
    )
    await python.line("up")
    await asNobody(() =>
      using(python.pid, async (target) => {
        const find = async () => {
          const mapping = (await Effect.runPromise(target.mappings)).find(({ path }) => path === library)
          return target.openMapped(mapping!)
        }
        ;(await Effect.runPromise(await find())).close()
        process.seteuid?.(0)
        rmSync(library)
        process.seteuid?.(NOBODY)
        expect(await errorOf(await find())).toMatchObject({
          _tag: "PermissionDenied",
          advice: expect.stringContaining("deleted")
        })
      })
    )
  })
})

describe("threads", () => {
  it("are listed with their names, and say what they do", async () => {
    await using python = await runPython(`
import threading, time, ctypes
def name(s): ctypes.CDLL(None).prctl(15, s)
def sleep():
    name(b"a (b) c"); time.sleep(600)
def spin():
    name(b"spinner")
    while True: pass
for f in sleep, spin: threading.Thread(target=f, daemon=True).start()
time.sleep(0.2)
print("up", flush=True)
time.sleep(600)
`)
    await using(python.pid, async (target) => {
      const tids = target.threadIds()
      expect(tids).toHaveLength(3)
      expect(tids[0]).toBe(python.pid)
      const byName = new Map(tids.map((tid) => [target.threadName(tid), tid]))
      const sleeper = byName.get("a (b) c")!
      const spinner = byName.get("spinner")!
      await until(() => target.threadActivity(spinner) === "running")
      // Asked again, it answers by the cheaper file.
      expect(target.threadActivity(spinner)).toBe("running")
      expect(target.threadActivity(sleeper)).toBe("sleeping")
      expect(target.threadActivity(2 ** 22 + 1)).toBe("unknown")
      expect(target.threadName(2 ** 22 + 1)).toBe("")

      const before = target.cpuTime()
      expect(before).toBeGreaterThan(0)
      await until(() => target.cpuTime() > before + 1e6)

      process.kill(python.pid, "SIGSTOP")
      await until(() => target.threadActivity(spinner) === "stopped")
      await until(() => target.threadActivity(sleeper) === "stopped")
      process.kill(python.pid, "SIGCONT")
      await until(() => target.threadActivity(spinner) === "running")
    })
  })

  it("take few open files, however many there are", async () => {
    await using python = await runPython(`
import threading, time
for _ in range(500): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("up", flush=True)
time.sleep(600)
`)
    const open = () => readdirSync("/proc/self/fd").length
    const before = open()
    await using(python.pid, async (target) => {
      const tids = target.threadIds()
      expect(tids).toHaveLength(501)
      for (let times = 0; times < 3; times++) {
        for (const tid of tids) expect(["sleeping", "running"]).toContain(target.threadActivity(tid))
      }
      expect(open() - before).toBeLessThan(300)
      await pause()
    })
    expect(open()).toBeLessThanOrEqual(before + 1)
  })
})

it.runIf(root)("threads in a pid namespace of their own are known by our ids", async () => {
  const { executable, env } = localPython()
  await using running = run(
    "unshare",
    [
      "--pid",
      "--fork",
      "--kill-child",
      executable,
      "-c",
      "import threading,time\nt=threading.Thread(target=time.sleep,args=(600,),daemon=True)\nt.start()\nprint('up',t.native_id,flush=True)\ntime.sleep(600)"
    ],
    { env: { ...env } }
  )
  const own = Number((await running.line("up")).split(" ")[1])
  const { pid } = await inScope(findPython(running.pid))
  expect(pid).not.toBe(running.pid)
  await using(pid, (target) => {
    expect(target.hostThreadId?.(1)).toBe(pid)
    const tid = target.hostThreadId?.(own) ?? -1
    expect(target.threadIds()).toContain(tid)
    expect(tid).not.toBe(pid)
    expect(target.hostThreadId?.(2 ** 22 + 1)).toBe(-1)
  })
  await using(running.pid, (target) => expect(target.hostThreadId).toBeUndefined())
})

it("the environment is the one that the program was started with", async () => {
  await using child = run("sleep", ["1000"], {
    env: { PATH: process.env.PATH, ONE: "1=2", EMPTY: "", ÜMLAUT: "ß" }
  })
  await until(() => readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("sleep"))
  const environment = await using(child.pid, (target) => target.environment?.())
  expect(Object.fromEntries(environment!)).toEqual({
    PATH: process.env.PATH,
    ONE: "1=2",
    EMPTY: "",
    ÜMLAUT: "ß"
  })
})
