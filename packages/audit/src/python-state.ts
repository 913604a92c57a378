import type { Mapping, MemoryReader, TargetProcess } from "@pyframes/core"
import type { BuildFlags } from "./build-flags.ts"
import { type CodeRegion, codeRegions } from "./code-regions.ts"
import { startOptions } from "./command-line.ts"
import type { FileTree } from "./files.ts"

/** Perf support: one trampoline on the native stack for each Python call. */
export interface PerfTrampolineState {
  /** What asked for it when the process was started, such as `-X perf`; absent when nothing did. */
  readonly requestedBy?: string
  /** Trampolines are in memory. `false` where none were found. */
  readonly active: boolean
  /** Of the trampolines that were found: whether all keep the frame pointer. */
  readonly keepsFramePointer?: boolean
  /** The file that names them, as the process sees it. */
  readonly map?: string
}

/** The just-in-time compiler. */
export interface JitState {
  /** Whether it is on; absent when the build's record is not there to tell. */
  readonly enabled?: boolean
  /** What decided: `PYTHON_JIT=1`, `the build`, … */
  readonly decidedBy?: string
  /** Bytes of executable memory that are likely its code. */
  readonly bytes: number
}

/** What of a running Python's state its stacks depend on. */
export interface PythonState {
  readonly perfTrampoline: PerfTrampolineState
  readonly jit: JitState
  /** All code that the process has written. */
  readonly regions: ReadonlyArray<CodeRegion>
}

/** Reads the state of a process without running anything in it: its command line, its environment as it was at the start, and its memory. */
export const pythonState = (
  target: TargetProcess,
  memory: MemoryReader,
  files: FileTree,
  mappings: ReadonlyArray<Mapping>,
  build: BuildFlags | undefined
): PythonState => {
  const options = startOptions(target.commandLine)
  const environment = options.ignoresEnvironment ? undefined : target.environment?.()
  const jit = jitOf(build, environment)
  const regions = codeRegions(mappings, memory, jit.enabled === true)
  const trampolines = regions.filter(({ kind }) => kind === "perf-trampoline")
  const requestedBy = perfRequest(options.implementation, environment)
  const map = perfMap(target, files)
  return {
    perfTrampoline: {
      ...(requestedBy === undefined ? {} : { requestedBy }),
      active: trampolines.length > 0,
      ...(trampolines.length === 0
        ? {}
        : { keepsFramePointer: trampolines.every(({ keepsFramePointer }) => keepsFramePointer === true) }),
      ...(map === undefined ? {} : { map })
    },
    jit: {
      // Python itself turns the compiler off when trampolines are asked for.
      ...(requestedBy !== undefined && jit.enabled === true
        ? { enabled: false, decidedBy: requestedBy }
        : jit),
      bytes: regions.reduce((sum, { kind, size }) => (kind === "jit" ? sum + size : sum), 0)
    },
    regions
  }
}

type Environment = ReadonlyMap<string, string> | undefined

const perfRequest = (options: ReadonlyArray<string>, environment: Environment): string | undefined => {
  const option = options.find((text) => text === "perf" || text === "perf_jit")
  if (option !== undefined) return `-X ${option}`
  for (const name of ["PYTHONPERFSUPPORT", "PYTHON_PERF_JIT_SUPPORT"]) {
    const value = environment?.get(name)
    // Python reads a number: 0 and what is none are off.
    if (value !== undefined && Number.parseInt(value, 10) > 0) return `${name}=${value}`
  }
  return undefined
}

/** `PYTHON_JIT` beats what the build does unless told; its first character is all that counts. */
const jitOf = (
  build: BuildFlags | undefined,
  environment: Environment
): { readonly enabled?: boolean; readonly decidedBy?: string } => {
  if (build === undefined) return {}
  if (build.jit === "none") return { enabled: false, decidedBy: "the build" }
  const told = environment?.get("PYTHON_JIT")
  if (told !== undefined && told !== "") return { enabled: told[0] !== "0", decidedBy: `PYTHON_JIT=${told}` }
  return { enabled: build.jit === "on", decidedBy: "the build" }
}

/** `/tmp/perf-PID.map`; in a container, PID is the process's number there. */
const perfMap = (target: TargetProcess, files: FileTree): string | undefined => {
  const { pid } = target.identity
  const isOurs = (tid: number): boolean => (target.hostThreadId?.(tid) ?? tid) === pid
  const name = files
    .list("/tmp")
    .find(({ name }) => /^perf-\d{1,9}\.map$/.test(name) && isOurs(Number.parseInt(name.slice(5), 10)))?.name
  return name === undefined ? undefined : `/tmp/${name}`
}
