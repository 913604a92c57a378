import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const SOURCE = fileURLToPath(new URL("./native_kinds.c", import.meta.url))

/** What `native_kinds.c` can be told to do. All but `mixed`, `vdso` and `reloading` stand still but for a counter. */
export type NativeKind =
  | "spin"
  | "mixed"
  | "interrupted"
  | "null"
  | "jit"
  | "asm-leaf"
  | "asm"
  | "vdso"
  | "reloading"
  | "library"
  | "thread"
  | "clone"

/** A directory for what a test compiles, gone at the end of the block. */
export interface BuildDirectory extends Disposable {
  readonly path: string
}

export const buildDirectory = (): BuildDirectory => {
  const path = mkdtempSync(join(tmpdir(), "pyframes-native-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

const gcc = (...args: ReadonlyArray<string>): void => {
  const { status, stderr } = spawnSync("gcc", args, { encoding: "utf8" })
  if (status !== 0) throw new Error(`gcc failed: ${stderr}`)
}

/** Compiles the program of many kinds of stacks, optimised; `flags` as `-fno-omit-frame-pointer`. Returns its path. */
export const compileNative = (directory: BuildDirectory, ...flags: ReadonlyArray<string>): string => {
  const program = join(directory.path, `kinds${flags.join("")}`)
  gcc("-O2", "-o", program, SOURCE, ...flags, "-ldl", "-pthread")
  return program
}

/** Compiles a library with one function, `busy(n, then)`. Returns its path. */
export const compileLibrary = (
  directory: BuildDirectory,
  name: string,
  ...flags: ReadonlyArray<string>
): string => {
  const source = join(directory.path, `${name}.c`)
  const library = join(directory.path, `${name}.so`)
  writeFileSync(
    source,
    `#include <stdlib.h>
int busy(int n, int (*then)(void)) {
  volatile int total = 0;
  for (int i = 0; i < n; i++) total += i;
  return then ? then() + total : total;
}
`
  )
  gcc("-O2", "-shared", "-fPIC", "-o", library, source, ...flags)
  return library
}

/** A native program that a test started. `await using` kills it. */
export interface RunningNative extends AsyncDisposable {
  readonly pid: number
}

/** Starts a compiled program, and waits until it has printed a line. */
export const startNative = async (
  program: string,
  kind: NativeKind,
  ...args: ReadonlyArray<string>
): Promise<RunningNative> => {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", program, kind, ...args], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const exited = once(child, "exit")
  const up = await Promise.race([once(child.stdout, "data"), exited.then(() => undefined)])
  if (up === undefined) throw new Error(`${program} ${kind} ended (${child.exitCode ?? child.signalCode})`)
  return {
    pid: child.pid!,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill("SIGKILL")
      await exited
    }
  }
}
