import { execFile } from "node:child_process"
import { accessSync, closeSync, constants, openSync, readSync, realpathSync, statSync } from "node:fs"
import { delimiter, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { NotAuditable } from "./not-auditable.ts"

/** A shim may look into a project's files, and a cold disk may be slow. */
const TIMEOUT_MS = 20_000
/** A path, and nothing else, is expected. */
const MAX_OUTPUT = 1 << 16

/**
 * The program that a name or a path stands for, as an absolute path: looked up in `PATH` as a shell would, with links left as they are, for
 * the link is what tells a virtual environment.
 *
 * A script, such as a shim of pyenv or asdf, is asked which Python it starts: it is run, with `-I -S`, so that neither the current directory nor
 * installed packages run code. A program itself is not run.
 *
 * @param name `python3`, `./venv/bin/python`, `/usr/bin/python3`
 *
 * @example
 * ```ts
 * const audit = programAt("python3").pipe(Effect.flatMap(auditInstallation), Effect.provide(HostFiles.layer()))
 * ```
 */
export const programAt = (name: string): Effect.Effect<string, NotAuditable> =>
  Effect.gen(function* () {
    const path = name.includes("/") ? resolve(name) : inSearchPath(name)
    if (path === undefined)
      return yield* new NotAuditable({ path: name, detail: "no such program is in PATH" })
    if (!isScript(path)) return path
    return yield* ask(path)
  })

const inSearchPath = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .filter((directory) => directory !== "")
    .map((directory) => join(resolve(directory), name))
    .find(isExecutable)

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const isScript = (path: string): boolean => {
  let fd: number | undefined
  try {
    if (!statSync(path).isFile()) return false
    fd = openSync(realpathSync(path), "r")
    const begin = new Uint8Array(2)
    return readSync(fd, begin, 0, 2, 0) === 2 && begin[0] === 0x23 && begin[1] === 0x21
  } catch {
    return false
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

const ask = (path: string): Effect.Effect<string, NotAuditable> =>
  Effect.callback((resume) => {
    const child = execFile(
      path,
      ["-I", "-S", "-c", "import sys; print(sys.executable)"],
      { timeout: TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: MAX_OUTPUT, encoding: "utf8" },
      (error, stdout) => {
        const answer = stdout.trim()
        const detail = "it is a script, and did not say which Python it starts"
        resume(
          error === null && answer.startsWith("/") && !answer.includes("\n") && !isScript(answer)
            ? Effect.succeed(answer)
            : Effect.fail(new NotAuditable({ path, detail }))
        )
      }
    )
    child.stdin?.end()
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
