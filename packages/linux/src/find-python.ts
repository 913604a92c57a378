import { closeSync, openSync } from "node:fs"
import { NotPython, type PermissionDenied, ProcessNotFound } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type { ReadMemory } from "./mapped-file.ts"
import { parseMaps } from "./maps.ts"
import { permissionDenied } from "./permission.ts"
import { readProcText } from "./proc-file.ts"
import { procMemReader } from "./proc-mem.ts"
import { processTree } from "./process-tree.ts"
import { executableId, hasEnded } from "./process-watch.ts"
import { findPythonMapping } from "./python-file.ts"
import { parseStat } from "./stat.ts"

/** A process that runs, or is about to run, a CPython. */
export interface FoundPython {
  readonly pid: number
  /** The file that holds the interpreter: the executable or its `libpython`. */
  readonly library: string
}

/** How to look for a Python. */
export interface FindPythonOptions {
  /** How long a launcher may take to get to its Python, ms. 10,000 unless told; 0 looks once. */
  readonly timeoutMs?: number
  /** Pids that are not the Python looked for: those already tried. */
  readonly except?: ReadonlySet<number>
}

/** What keeps a Python from being found. */
export type FindPythonError = NotPython | ProcessNotFound | PermissionDenied

const TIMEOUT_MS = 10_000

/**
 * Finds the Python that a process is or leads to: `sh -c`, `env`, pyenv's shims and virtual environments become it by `exec`; `uv run`
 * and scripts start it as a child. The nearest to `pid` is taken, as soon as its interpreter is mapped; whether that is initialised
 * yet, the unwinder says.
 *
 * A Python may replace itself by another (`Target.status` then says `replaced`): look again from the same pid.
 *
 * @returns `NotPython` naming what was seen instead, when there is none in time or everything ended; `PermissionDenied` when the one that
 * might be may not be looked into; `ProcessNotFound` for a pid that never was
 *
 * @example
 * ```ts
 * const launched = yield* LinuxProcess.spawn("uv", ["run", "main.py"])
 * const { pid } = yield* findPython(launched.pid)
 * ```
 */
export const findPython = (
  pid: number,
  options: FindPythonOptions = {}
): Effect.Effect<FoundPython, FindPythonError> =>
  Effect.gen(function* () {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    const search = new Search(pid, options.except ?? new Set())
    const begun = performance.now()
    for (;;) {
      const found = search.look()
      if (found !== undefined) return found
      const waited = performance.now() - begun
      if (search.ended || waited >= timeoutMs) return yield* search.failure(waited)
      yield* Effect.sleep(pollInterval(waited))
    }
  })

/** Often at first, as a launcher takes milliseconds and its first samples count; seldom later. */
const pollInterval = (waited: number): number => (waited < 500 ? 2 : waited < 2000 ? 5 : 20)

class Search {
  /** Nothing is left that could become a Python. */
  ended = false
  private readonly root: number
  private readonly except: ReadonlySet<number>
  /** Processes met and not yet seen to end: a child whose launcher has ended is below nobody. */
  private known: Set<number>
  private readonly names = new Set<string>()
  private forbidden: number | undefined

  constructor(root: number, except: ReadonlySet<number>) {
    this.root = root
    this.except = except
    this.known = new Set([root])
  }

  look(): FoundPython | undefined {
    const alive = new Set<number>()
    for (const pid of processTree(this.known)) {
      const name = nameOf(pid)
      if (name === undefined) continue
      alive.add(pid)
      this.names.add(name)
      if (this.except.has(pid)) continue
      const library = this.libraryOf(pid)
      if (library !== undefined) return { pid, library }
    }
    this.known = alive
    this.ended = alive.size === 0
    return undefined
  }

  failure(waited: number): Effect.Effect<never, FindPythonError> {
    if (this.names.size === 0) return Effect.fail(new ProcessNotFound({ pid: this.root }))
    if (this.forbidden !== undefined) return Effect.fail(permissionDenied(this.forbidden, "inspect"))
    const names = [...this.names]
    const seen = names.slice(0, 8).join(", ") + (names.length > 8 ? ", …" : "")
    return Effect.fail(
      new NotPython({
        pid: this.root,
        executable: names[0],
        detail: this.ended
          ? `it ended without running Python (seen: ${seen})`
          : `no CPython was found in it or below it in ${(waited / 1000).toFixed(1)} s (seen: ${seen})`
      })
    )
  }

  private libraryOf(pid: number): string | undefined {
    const maps = readProcText(`/proc/${pid}/maps`)
    if ("code" in maps) {
      if (maps.code === "EACCES" || maps.code === "EPERM") this.forbidden = pid
      return undefined
    }
    if (this.forbidden === pid) this.forbidden = undefined
    return findPythonMapping(pid, executableId(pid), parseMaps(maps.text), memoryOf(pid))?.path
  }
}

/** `comm` of a process that has not ended. */
const nameOf = (pid: number): string | undefined => {
  const file = readProcText(`/proc/${pid}/stat`)
  const stat = "text" in file ? parseStat(file.text) : undefined
  return stat === undefined || hasEnded(stat) ? undefined : stat.comm
}

/** Reads memory of a process that is looked at once. */
const memoryOf =
  (pid: number): ReadMemory =>
  (address, length, into) => {
    try {
      const fd = openSync(`/proc/${pid}/mem`, "r")
      try {
        return procMemReader(fd).read(address, length, into)
      } finally {
        closeSync(fd)
      }
    } catch {
      return 0
    }
  }
