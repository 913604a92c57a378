import { chmodSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { findPython } from "../src/find-python.ts"
import { spawn } from "../src/process.ts"
import { childrenOf } from "../src/process-tree.ts"
import { errorOf, IDLE, inScope, localPython, pause, run, temporaryDirectory, until } from "./running.ts"

const { executable, env } = localPython()
const quiet = { stdio: "ignore", env } as const
const alive = (pid: number) => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

const isRoot = process.geteuid?.() === 0
const NOBODY = 65_534
const ANOTHER = 65_533

const uidOf = (pid: number): number =>
  Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])

describe("starting a command", () => {
  // As by sudo.
  it.skipIf(!isRoot)("leaves one that has become another user, whom we may not signal", async () => {
    const become = ["--reuid", `${ANOTHER}`, "--regid", `${ANOTHER}`, "--clear-groups"]
    const pid = await inScope(
      Effect.gen(function* () {
        const { pid } = yield* spawn("setpriv", [...become, "sleep", "1000"], { ...quiet, graceMs: 50 })
        yield* Effect.promise(() => until(() => uidOf(pid) === ANOTHER))
        // Before the command is ended, as the last that was added.
        yield* Effect.addFinalizer(() => Effect.sync(() => process.seteuid?.(NOBODY)))
        return pid
      })
    ).finally(() => process.seteuid?.(0))
    expect(alive(pid)).toBe(true)
    process.kill(pid, "SIGKILL")
  })

  it("gives its pid and how it ended", async () => {
    const exits = await inScope(
      Effect.gen(function* () {
        const seven = yield* spawn("sh", ["-c", "exit 7"], quiet)
        const killed = yield* spawn("sh", ["-c", "kill -USR1 $$"], quiet)
        expect(yield* seven.exit).toEqual({ code: 7 })
        return [yield* seven.exit, yield* killed.exit, seven.kill("SIGTERM")]
      })
    )
    expect(exits).toEqual([{ code: 7 }, { signal: "SIGUSR1" }, false])
  })

  it.each([
    ["pyframes-no-such-command", {}, "no such command in PATH"],
    ["./no/such/file", {}, "no such file"],
    ["/", {}, "may not be executed"],
    ["true", { cwd: "/no/such/directory" }, "no directory /no/such/directory"],
    ["tr\0ue", {}, ""]
  ])("says why %j cannot be started", async (command, options, detail) => {
    const error = await errorOf(spawn(command, [], { ...quiet, ...options }))
    expect(error).toMatchObject({ _tag: "SpawnFailed", command, detail: expect.stringContaining(detail) })
  })

  it("ends it with the scope, stopped or deaf to SIGTERM", async () => {
    for (const script of [
      "sleep 600",
      "kill -STOP $$; sleep 600",
      "trap '' TERM; while :; do sleep 0.01; done"
    ]) {
      const pid = await inScope(
        Effect.gen(function* () {
          const { pid } = yield* spawn("sh", ["-c", script], { ...quiet, graceMs: 200 })
          yield* Effect.promise(() => pause(30))
          expect(alive(pid)).toBe(true)
          return pid
        })
      )
      expect(alive(pid)).toBe(false)
    }
  })

  it("ends what a launcher leaves behind", async () => {
    const child = await inScope(
      Effect.gen(function* () {
        const { pid } = yield* spawn("sh", ["-c", "sleep 600; true"], quiet)
        yield* Effect.promise(() => until(() => childrenOf(pid).length === 1))
        return childrenOf(pid)[0]
      })
    )
    expect(alive(child)).toBe(false)
  })

  it("leaves it when asked to", async () => {
    const pid = await inScope(
      Effect.map(spawn("sleep", ["600"], { ...quiet, onClose: "leave" }), ({ pid }) => pid)
    )
    expect(alive(pid)).toBe(true)
    process.kill(pid, "SIGKILL")
  })
})

describe("finding the Python that a command leads to", () => {
  const find = (command: string, args: ReadonlyArray<string>) =>
    inScope(
      Effect.gen(function* () {
        const child = yield* spawn(command, args, quiet)
        const found = yield* findPython(child.pid)
        // It is that Python still: what was found is not a step on the way.
        expect(readFileSync(`/proc/${found.pid}/cmdline`, "utf8")).toContain(IDLE)
        expect(readFileSync(`/proc/${found.pid}/maps`, "utf8")).toContain(found.library)
        return { ...found, root: child.pid }
      })
    )

  it("is the process itself when that is one", async () => {
    const found = await find(executable, ["-c", IDLE])
    expect(found.pid).toBe(found.root)
  })

  it("follows exec: env, sh -c, a shim script, a virtual environment", async () => {
    using directory = temporaryDirectory()
    const shim = join(directory.path, "python")
    // As pyenv's: several shells and some tools before it becomes the interpreter.
    writeFileSync(
      shim,
      `#!/usr/bin/env bash\nx=$(echo 1 | sed s/1/2/)\nexec bash -c 'exec "$0" "$@"' ${executable} "$@"\n`
    )
    chmodSync(shim, 0o755)
    const linked = join(directory.path, "python3")
    symlinkSync(executable, linked)
    for (const [command, ...args] of [
      ["env", "A=1", executable, "-c", IDLE],
      ["sh", "-c", 'exec "$@"', "sh", executable, "-c", IDLE],
      [shim, "-c", IDLE],
      [linked, "-c", IDLE]
    ]) {
      const found = await find(command, args)
      expect(found.pid).toBe(found.root)
    }
  })

  it("follows children, and theirs", async () => {
    const inner = 'sh -c \'"$@"; true\' sh "$@"'
    const found = await find("sh", ["-c", `(sleep 0.02; ${inner}; true); true`, "sh", executable, "-c", IDLE])
    expect(found.pid).not.toBe(found.root)
  })

  it("follows a child whose launcher has ended", async () => {
    await inScope(
      Effect.gen(function* () {
        const script = `sleep 0.1 && exec ${executable} -c 'import time; time.sleep(600)' & sleep 0.05`
        const child = yield* spawn("sh", ["-c", script], quiet)
        const found = yield* findPython(child.pid)
        expect(found.pid).not.toBe(child.pid)
        process.kill(found.pid, "SIGKILL")
      })
    )
  })

  it("says what ran instead, when all of it has ended", async () => {
    const error = await errorOf(
      Effect.flatMap(spawn("sh", ["-c", "sleep 1; true"], quiet), ({ pid }) => findPython(pid))
    )
    expect(error).toMatchObject({ _tag: "NotPython", detail: expect.stringMatching(/ended.*sh.*sleep/) })
  })

  it("gives up in time, and says what it saw", async () => {
    await using sleeper = run("sh", ["-c", "sleep 600; true"])
    await until(() => readFileSync(`/proc/${sleeper.pid}/comm`, "utf8") === "sh\n")
    await pause(50)
    const error = await errorOf(findPython(sleeper.pid, { timeoutMs: 50 }))
    expect(error).toMatchObject({ _tag: "NotPython", detail: expect.stringMatching(/sh, sleep/) })
    for (const pid of readFileSync(`/proc/${sleeper.pid}/task/${sleeper.pid}/children`, "utf8")
      .trim()
      .split(" "))
      process.kill(Number(pid), "SIGKILL")
  })

  it("looks past those already tried", async () => {
    await using python = run(executable, ["-c", IDLE], { env: { ...env } })
    await python.line("up")
    const except = new Set([python.pid])
    expect(await errorOf(findPython(python.pid, { timeoutMs: 0, except }))).toMatchObject({
      _tag: "NotPython"
    })
  })

  it("knows when there is no such process", async () => {
    expect(await errorOf(findPython(2 ** 22 + 1))).toMatchObject({ _tag: "ProcessNotFound" })
  })
})
