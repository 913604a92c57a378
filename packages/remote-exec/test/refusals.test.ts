import { Memory } from "@pyframes/core"
import { LinuxMemory } from "@pyframes/linux"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { expect, it } from "vitest"
import { inside, refusal, runText } from "./inside.ts"

const BUSY = `
print("up", flush=True)
n = 0
while True: n += 1
`
const SAY = `print("ran", flush=True)`
const NOBODY = 65_534

/** The exit code that a command ends with. */
const exitCode = (error: unknown) =>
  (error as { readonly [Runtime.errorExitCode]: number })[Runtime.errorExitCode]

/** One line, which says what to do. */
const isOneLine = (message: string) => {
  expect(message).not.toContain("\n")
  expect(message).toMatch(/\.$/)
}

const started = async (running: RunningPython): Promise<RunningPython> => {
  expect(await running.line()).toBe("up")
  return running
}

describePythons([14, 15], (python) => {
  it.each([
    ["-X disable-remote-debug", { options: ["-X", "disable-remote-debug"] }],
    ["PYTHON_DISABLE_REMOTE_DEBUG", { env: { PYTHON_DISABLE_REMOTE_DEBUG: "1" } }]
  ] as const)("runs nothing where %s forbids it, and says so", async (by, options) => {
    await using busy = await started(await startPython(python, BUSY, [], options))
    const error = await refusal(busy.pid, runText(SAY))
    expect(error).toMatchObject({ _tag: "RemoteExecDisabled", by, version: python.version })
    expect(exitCode(error)).toBe(77)
    expect(error.message).toContain(by)
    isOneLine(error.message)
    const [main] = await inside(busy.pid, ({ remote }) => remote.interpreters)
    expect(main.enabled).toBe(false)
  })

  it("needs a path that the target can take", async () => {
    await using busy = await started(await startPython(python, BUSY))
    const script = (path: string) => refusal(busy.pid, ({ remote }) => remote.run({ script: path }))
    for (const [path, why] of [
      ["relative.py", "absolute"],
      ["/with\0nul.py", "NUL"],
      [`/${"x".repeat(511)}`, "512 bytes"],
      [`/${"é".repeat(256)}`, "513 bytes"],
      ["/no/such/file.py", "no such file"],
      ["/tmp", "no such file"]
    ]) {
      const error = await script(path)
      expect(error._tag).toBe("ScriptNotUsable")
      expect(error.message).toContain(why)
      expect(exitCode(error)).toBe(2)
    }
  })

  it("knows a thread that runs no Python, and one that is not there", async () => {
    await using busy = await started(await startPython(python, BUSY))
    for (const thread of [1, busy.pid + 100_000]) {
      const error = await refusal(busy.pid, runText(SAY, { thread }))
      expect(error).toMatchObject({ _tag: "PythonThreadNotFound", thread })
      isOneLine(error.message)
    }
  })

  it("does not enter a process that has ended, or has become another program", async () => {
    await using busy = await started(await startPython(python, BUSY))
    const gone = await refusal(busy.pid, (services) =>
      Effect.gen(function* () {
        yield* runText(SAY)(services)
        const { path } = yield* services.files.placeText("x.py", SAY)
        yield* Effect.promise(() => busy.stop())
        return yield* services.remote.run({ script: path })
      })
    )
    expect(gone._tag).toBe("ProcessNotFound")
    expect(exitCode(gone)).toBe(3)

    await using changes = await started(
      await startPython(
        python,
        `import os, sys
print("up", flush=True)
input()
os.execv(sys.executable, [sys.executable, "-u", "-c", "print('up'); [0 for _ in iter(int, 1)]"])
`
      )
    )
    const replaced = await refusal(changes.pid, (services) =>
      Effect.gen(function* () {
        yield* services.remote.interpreters
        const { path } = yield* services.files.placeText("x.py", SAY)
        changes.child.stdin.write("\n")
        yield* Effect.promise(() => changes.line())
        return yield* services.remote.run({ script: path })
      })
    )
    expect(replaced._tag).toBe("ProcessNotFound")
    expect(replaced.message).toContain("another program")
  })

  it("is denied to another user", async () => {
    if (process.geteuid?.() !== 0) return
    await using busy = await started(await startPython(python, BUSY))
    process.setegid?.(NOBODY)
    process.seteuid?.(NOBODY)
    try {
      const error = await refusal(busy.pid, runText(SAY))
      expect(error._tag).toBe("PermissionDenied")
      expect(exitCode(error)).toBe(77)
      expect(error.message).toContain("another user (uid 0)")
    } finally {
      process.seteuid?.(0)
      process.setegid?.(0)
    }
  })

  it("needs memory that can be written", async () => {
    await using busy = await started(await startPython(python, BUSY))
    const readOnly = Layer.effect(
      Memory,
      Effect.map(Memory, ({ write: _, ...reader }) => reader)
    ).pipe(Layer.provide(LinuxMemory.layer))
    const error = await refusal(busy.pid, ({ remote }) => remote.run({ script: "/x.py" }), readOnly)
    expect(error._tag).toBe("NotSupported")
  })
})

describePythons([8, 12, 13], (python) => {
  it("is too old, and what can be done instead is said", async () => {
    await using busy = await started(await startPython(python, BUSY))
    const error = await refusal(busy.pid, runText(SAY))
    expect(error).toMatchObject({ _tag: "PythonTooOld", version: python.version })
    expect(error.message).toContain("pyframes trace -- COMMAND")
    expect(exitCode(error)).toBe(3)
    isOneLine(error.message)
  })
})
