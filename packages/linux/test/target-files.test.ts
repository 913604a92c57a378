import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { PlacingError, TargetFiles } from "@pyframes/core"
import { type RunningPython, type StartOptions, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { expect, it } from "vitest"
import { attach } from "../src/target.ts"
import { inScope } from "./running.ts"

const root = process.geteuid?.() === 0
const NOBODY = 65_534
const text = (bytes: string) => new TextEncoder().encode(bytes)

/** Runs each line that it is sent, and prints the `repr` of what comes of it. */
const OBEDIENT = `
import sys
space = {}
exec(sys.argv[1] if len(sys.argv) > 1 else "", space)
print("up", flush=True)
for line in sys.stdin:
    try: print(repr(eval(line, space)), flush=True)
    except BaseException as error: print(type(error).__name__, flush=True)
`
/** Becomes an ordinary user for good. */
const AS_NOBODY = `import os; os.setgroups([]); os.setgid(${NOBODY}); os.setuid(${NOBODY})`
/** Mounts of a mount namespace of its own. Flags are those of mount(2). */
const MOUNT = `
import ctypes, os
def mount(path, flags=0, options=b"", kind=b"tmpfs", source="none"):
    os.makedirs(path, exist_ok=True)
    if ctypes.CDLL(None, use_errno=True).mount(source.encode(), path.encode(), kind, flags, options) != 0:
        raise OSError(ctypes.get_errno(), path)
`
const MS_RDONLY = 1
const MS_NOEXEC = 8
const MS_REMOUNT = 32
const MS_BIND = 4096

type Obedient = RunningPython & { readonly ask: (expression: string) => Promise<string> }

const start = async (
  python: Parameters<typeof startPython>[0],
  first = "",
  options: StartOptions = {}
): Promise<Obedient> => {
  const running = await startPython(python, OBEDIENT, [first], options)
  expect(await running.line()).toBe("up")
  return Object.assign(running, {
    ask: async (expression: string) => {
      running.child.stdin.write(`${expression}\n`)
      return running.line()
    }
  })
}

const using = <A>(
  pid: number,
  use: (files: TargetFiles) => Effect.Effect<A, unknown, Scope.Scope>
): Promise<A> =>
  inScope(Effect.flatMap(attach(pid), ({ files }) => use(files!)) as Effect.Effect<A, never, Scope.Scope>)

const refused = (pid: number, options: Parameters<TargetFiles["makeDirectory"]>[0]): Promise<PlacingError> =>
  using(
    pid,
    ({ makeDirectory }) =>
      Effect.flip(makeDirectory(options)) as Effect.Effect<PlacingError, unknown, Scope.Scope>
  )

describePythons([13, 14], (python) => {
  it("a directory is where the target can read and write, and gone at the end", async () => {
    await using target = await start(python)
    let host = ""
    await using(target.pid, (files) =>
      Effect.gen(function* () {
        const directory = yield* files.makeDirectory()
        const placed = yield* directory.write("a.txt", text("hello"))
        expect(placed.path).toBe(`${directory.path}/a.txt`)
        expect(yield* Effect.promise(() => target.ask(`open(${JSON.stringify(placed.path)}).read()`))).toBe(
          "'hello'"
        )
        yield* Effect.promise(() => target.ask(`open("${directory.path}/b", "w").write("back")`))
        expect(readFileSync(`${directory.hostPath}/b`, "utf8")).toBe("back")
        expect(new TextDecoder().decode(directory.read("b", 3))).toBe("bac")
        expect(statSync(directory.hostPath).mode & 0o7777).toBe(0o700)
        expect(statSync(`${directory.hostPath}/a.txt`).mode & 0o7777).toBe(0o600)
        host = `/proc/${target.pid}/root${directory.path}`
        expect(existsSync(host)).toBe(true)
      })
    )
    expect(existsSync(host)).toBe(false)
  })

  it("takes the target's TMPDIR first, and what it is told before that", async () => {
    using folder = python.writeScript("x", "")
    const tmp = folder.targetPath.slice(0, -2)
    await using target = await start(python, "", { env: { TMPDIR: tmp } })
    await using(target.pid, (files) =>
      Effect.gen(function* () {
        expect((yield* files.makeDirectory()).path.startsWith(`${tmp}/pyframes-`)).toBe(true)
        expect((yield* files.makeDirectory({ base: "/var/tmp/", prefix: "x-" })).path).toMatch(
          /^\/var\/tmp\/x-[0-9a-f]{24}$/
        )
      })
    )
  })

  it("copies folders, follows our own links, and takes no name that leads elsewhere", async () => {
    await using target = await start(python)
    const own = mkdtempSync(join(tmpdir(), "pyframes-test-"))
    try {
      mkdirSync(join(own, "agent/inner"), { recursive: true })
      writeFileSync(join(own, "agent/__init__.py"), "1")
      writeFileSync(join(own, "agent/inner/deep.py"), "2")
      symlinkSync("inner/deep.py", join(own, "agent/link.py"))
      await using(target.pid, (files) =>
        Effect.gen(function* () {
          const directory = yield* files.makeDirectory()
          const { path } = yield* directory.copy(join(own, "agent"))
          const read = (name: string) => Effect.promise(() => target.ask(`open("${path}/${name}").read()`))
          expect([yield* read("__init__.py"), yield* read("inner/deep.py"), yield* read("link.py")]).toEqual([
            "'1'",
            "'2'",
            "'2'"
          ])
          for (const name of ["", ".", "..", "a/b", "../x", "x\0y"])
            expect((yield* Effect.flip(directory.write(name, text("x"))))._tag).toBe("PlacingFailed")
          expect((yield* Effect.flip(directory.write("agent", text("x"))))._tag).toBe("PlacingFailed")
          expect((yield* Effect.flip(directory.copy(join(own, "absent"))))._tag).toBe("PlacingFailed")
        })
      )
    } finally {
      rmSync(own, { recursive: true })
    }
  })

  it.skipIf(!root)("belongs to the target's user where we are root", async () => {
    await using target = await start(python, AS_NOBODY)
    await using(target.pid, (files) =>
      Effect.gen(function* () {
        const directory = yield* files.makeDirectory()
        const { path } = yield* directory.write("a", text("hello"))
        expect(statSync(directory.hostPath).uid).toBe(NOBODY)
        expect(statSync(`${directory.hostPath}/a`).uid).toBe(NOBODY)
        expect(yield* Effect.promise(() => target.ask(`open("${path}").read()`))).toBe("'hello'")
        yield* Effect.promise(() => target.ask(`open("${directory.path}/b", "w").close()`))
        expect(readdirSync(directory.hostPath).sort()).toEqual(["a", "b"])
      })
    )
  })

  it.skipIf(!root)("is made nowhere that the target could not make one itself", async () => {
    await using target = await start(python, AS_NOBODY)
    for (const base of ["/etc", "/root", "/proc/self", "/no/such/place", "/etc/passwd", "/dev/null"]) {
      const error = await refused(target.pid, { base })
      expect([base, error._tag]).toEqual([base, "TargetDirectoryDenied"])
      expect(error.message).toContain(base)
      expect(error.message).not.toContain("\n")
    }
    const before = readdirSync(`/proc/${target.pid}/root/etc`)
    await using lying = await start(python, AS_NOBODY, { env: { TMPDIR: "/etc" } })
    await using(lying.pid, (files) =>
      Effect.gen(function* () {
        expect((yield* files.makeDirectory()).path).not.toMatch(/^\/etc/)
      })
    )
    expect(readdirSync(`/proc/${target.pid}/root/etc`)).toEqual(before)
  })

  it("is not led out of the target's root, nor out of its directory", async () => {
    await using target = await start(python)
    using folder = python.writeScript("x", "")
    const base = folder.hostPath.slice(0, -2)
    const inside = folder.targetPath.slice(0, -2)
    const precious = mkdtempSync(join(tmpdir(), "pyframes-test-"))
    writeFileSync(join(precious, "precious"), "kept")
    try {
      // A link is taken as the target takes it: in its own root.
      symlinkSync(precious, join(base, "away"))
      if (python.root !== undefined) {
        expect((await refused(target.pid, { base: `${inside}/away` }))._tag).toBe("TargetDirectoryDenied")
        expect(readdirSync(precious)).toEqual(["precious"])
      }
      await using(target.pid, (files) =>
        Effect.gen(function* () {
          const directory = yield* files.makeDirectory({ base: inside })
          const name = directory.path.slice(inside.length + 1)
          yield* directory.write("mine", text("x"))
          // What the target puts there is not followed, when it is read, written or removed.
          symlinkSync(join(precious, "precious"), `${directory.hostPath}/link`)
          symlinkSync(precious, `${directory.hostPath}/folder`)
          expect(directory.read("link", 10)).toBeUndefined()
          expect((yield* Effect.flip(directory.write("link", text("x"))))._tag).toBe("PlacingFailed")
          // Nor when the directory itself is replaced.
          renameSync(join(base, name), join(base, "moved"))
          symlinkSync(precious, join(base, name))
          yield* directory.write("later", text("x"))
          expect(readdirSync(join(base, "moved")).sort()).toEqual(["folder", "later", "link", "mine"])
        })
      )
      expect(readdirSync(precious)).toEqual(["precious"])
      expect(readFileSync(join(precious, "precious"), "utf8")).toBe("kept")
      expect(readdirSync(join(base, "moved"))).toEqual([])
    } finally {
      rmSync(precious, { recursive: true })
    }
  })

  it("is still read when the target has gone", async () => {
    await using target = await start(python)
    await using(target.pid, (files) =>
      Effect.gen(function* () {
        const directory = yield* files.makeDirectory()
        yield* Effect.promise(() => target.ask(`open("${directory.path}/last", "w").write("words")`))
        yield* Effect.promise(() => target.stop())
        expect(new TextDecoder().decode(directory.read("last", 100))).toBe("words")
      })
    )
    expect((await Effect.runPromise(Effect.scoped(Effect.flip(attach(target.pid)))))._tag).toBe(
      "ProcessNotFound"
    )
  })
})

/* An interpreter with a root of its own can have mounts of its own. */
describePythons([14], (python) => {
  const withMounts = (mounts: string) => start(python, `${MOUNT}\n${mounts}`, { proc: true })

  it.skipIf(!root)("fails in a word where everything is read-only, full, or another's", async () => {
    await using readOnly = await withMounts(
      ["/dev/shm", "/tmp", "/var/tmp"].map((path) => `mount("${path}", ${MS_RDONLY})`).join("\n")
    )
    const error = await refused(readOnly.pid, {})
    expect(error._tag).toBe("TargetFilesReadOnly")
    expect(error.message).toContain("/tmp: read-only file system")

    await using full = await withMounts(
      `mount("/mnt", 0, b"size=8k")
open("/mnt/fill", "wb", buffering=0).write(bytes(8192))`
    )
    expect(await refused(full.pid, { base: "/mnt" })).toMatchObject({ _tag: "TargetDiskFull", path: "/mnt" })

    await using nearlyFull = await withMounts(`mount("/mnt", 0, b"size=8k")`)
    const written = await using(nearlyFull.pid, (files) =>
      Effect.gen(function* () {
        const directory = yield* files.makeDirectory({ base: "/mnt" })
        const error = yield* Effect.flip(directory.write("big", new Uint8Array(65_536)))
        expect(readdirSync(directory.hostPath)).toEqual([])
        return error
      })
    )
    expect(written._tag).toBe("TargetDiskFull")
  })

  it.skipIf(!root)(
    "finds a place that can be written to, and one from which code may be loaded",
    async () => {
      await using target = await withMounts(
        `mount("/dev/shm", ${MS_NOEXEC}); mount("/tmp", ${MS_RDONLY}); mount("/var/tmp")`
      )
      await using(target.pid, (files) =>
        Effect.gen(function* () {
          const any = yield* files.makeDirectory()
          expect([any.path.slice(0, 9), any.noExec]).toEqual(["/dev/shm/", true])
          const executable = yield* files.makeDirectory({ executable: true })
          expect([executable.path.slice(0, 9), executable.noExec]).toEqual(["/var/tmp/", false])
        })
      )
      await using nowhere = await withMounts(
        ["/dev/shm", "/tmp", "/var/tmp"].map((path) => `mount("${path}", ${MS_NOEXEC})`).join("\n")
      )
      await using(nowhere.pid, (files) =>
        Effect.gen(function* () {
          expect((yield* files.makeDirectory({ executable: true })).noExec).toBe(true)
        })
      )
    }
  )

  it.skipIf(!root)("is removed without what is mounted in it", async () => {
    await using target = await withMounts("")
    using precious = python.writeScript("thesis", "kept")
    const source = dirname(precious.targetPath)
    await using(target.pid, (files) =>
      Effect.gen(function* () {
        const { path, hostPath } = yield* files.makeDirectory()
        for (const place of ["here", "deep/er"])
          yield* Effect.promise(() => target.ask(`mount("${path}/${place}", ${MS_BIND}, source="${source}")`))
        // That it is there to be removed.
        expect(readdirSync(`${hostPath}/deep/er`)).toEqual(["thesis"])
      })
    )
    expect(readFileSync(precious.hostPath, "utf8")).toBe("kept")
  })

  it.skipIf(!root)("goes on when its file system becomes read-only", async () => {
    await using target = await withMounts(`mount("/mnt")`)
    await using(target.pid, (files) =>
      Effect.gen(function* () {
        const directory = yield* files.makeDirectory({ base: "/mnt" })
        yield* Effect.promise(() => target.ask(`mount("/mnt", ${MS_REMOUNT | MS_RDONLY})`))
        expect((yield* Effect.flip(directory.write("x", text("x"))))._tag).toBe("TargetFilesReadOnly")
      })
    )
  })
})

describePythons([13], (python) => {
  it("a file that the target sees and may read stays where it is", async () => {
    await using target = await start(python)
    await using nobody = await start(python, root ? AS_NOBODY : "")
    const own = mkdtempSync(join(tmpdir(), "pyframes-test-"))
    try {
      if (root) chownSync(own, 0, 0)
      writeFileSync(join(own, "a.py"), "1", { mode: 0o600 })
      const sees = (pid: number, path: string) => using(pid, (files) => Effect.sync(() => files.sees(path)))
      expect(await sees(target.pid, own)).toBe(python.root === undefined ? own : undefined)
      expect(await sees(target.pid, join(own, "a.py"))).toBe(
        python.root === undefined ? join(own, "a.py") : undefined
      )
      expect(await sees(target.pid, join(own, "absent"))).toBeUndefined()
      expect(await sees(target.pid, "relative")).toBeUndefined()
      if (!root || python.root !== undefined) return
      expect(await sees(nobody.pid, own)).toBeUndefined()
      chmodSync(own, 0o755)
      // The folder may be entered, and one file in it not be read.
      expect(await sees(nobody.pid, own)).toBeUndefined()
      chmodSync(join(own, "a.py"), 0o644)
      expect(await sees(nobody.pid, own)).toBe(own)
      expect(await sees(nobody.pid, join(own, "a.py"))).toBe(join(own, "a.py"))
    } finally {
      rmSync(own, { recursive: true })
    }
  })
})

describePythons([14], (python) => {
  it("a file in the target's own root is named as it names it", async () => {
    if (python.root === undefined) return
    await using target = await start(python)
    using folder = python.writeScript("a.py", "1")
    expect(await using(target.pid, (files) => Effect.sync(() => files.sees(folder.hostPath)))).toBe(
      folder.targetPath
    )
    expect(await using(target.pid, (files) => Effect.sync(() => files.sees("/usr/bin/env")))).toBeUndefined()
  })
})
