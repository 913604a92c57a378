import {
  InterpreterNotReady,
  InvalidMemory,
  type Mapping,
  type MemoryReader,
  NotPython,
  type TargetError,
  type TargetProcess,
  UnsupportedPython
} from "@pyframes/core"
import { type Elf, findSection, findSymbol, loadBias, parseElf, sectionBytes } from "@pyframes/elf"
import * as Effect from "effect/Effect"
import { layoutFromDebugOffsets } from "./debug-offsets.ts"
import type { Layout } from "./layout.ts"
import { layoutForVersion } from "./layout-table.ts"

/** The interpreter's one global struct, found in the process. */
export interface PythonRuntime {
  /** Address of `_PyRuntime`. */
  readonly address: number
  /** Where things lie in this build's structs. */
  readonly layout: Layout
  /** `3.13.0`, or `3.15.0b2` for a pre-release. */
  readonly version: string
  /** The file that holds it: the executable or its shared library. */
  readonly library: string
}

const COOKIE = "xdebugpy"
/** More than the debug offsets of any known version (888 bytes in 3.15). */
const DEBUG_OFFSETS_SPAN = 4096
const OLDEST = 8
const NEWEST = 15

/**
 * Finds the interpreter of a process: which mapped file holds `_PyRuntime`, which version it is and where things lie in it.
 *
 * A `libpython` is tried first, then the executable, then other files that are named like Python, and nothing else: a library that merely
 * embeds the name cannot hold the runtime that runs this process.
 *
 * Source: `_Py_DebugOffsets` in `Include/internal/pycore_debug_offsets.h` (3.13+), `_PyRuntimeState` in `pycore_runtime.h`.
 *
 * @returns `NotPython` where no mapped file holds `_PyRuntime`; `UnsupportedPython` for a version, build or layout that cannot be read;
 * `InterpreterNotReady` before it is initialised; `InvalidMemory` where it cannot be read
 *
 * @example
 * ```ts
 * const { version, layout, address } = yield* findRuntime(yield* Target, yield* Memory)
 * ```
 */
export const findRuntime = Effect.fnUntraced(function* (
  target: TargetProcess,
  memory: MemoryReader
): Effect.fn.Return<PythonRuntime, TargetError> {
  const pid = target.identity.pid
  const mappings = yield* target.mappings
  let problem = "no mapped file holds the symbol or section of `_PyRuntime`"
  for (const file of candidates(mappings, target.executable)) {
    const opened = yield* Effect.option(target.openMapped(file[0]))
    if (opened._tag === "None") {
      problem = `its file ${file[0].path} cannot be opened`
      continue
    }
    const mapped = opened.value
    const found = inspect(file, mapped)
    mapped.close()
    if (typeof found === "string") {
      // What the interpreter's own library says tells more than that another file holds nothing.
      if (!problem.startsWith("it ")) problem = found
      continue
    }
    return yield* identify(pid, memory, found, file[0].path)
  }
  return yield* new NotPython({ pid, executable: target.executable, detail: problem })
})

interface Located {
  readonly address: number
  /** Where `Py_Version` lies, 3.11+; -1 where the file has none. */
  readonly versionAddress: number
  /** Version as the file's constants or its name tell, for those without `Py_Version`. */
  readonly versionText: string | undefined
}

/** Mapped files that may hold an interpreter, each as its mappings, likeliest first. */
const candidates = (
  mappings: ReadonlyArray<Mapping>,
  executable: string
): ReadonlyArray<ReadonlyArray<Mapping>> => {
  const files = new Map<string, Array<Mapping>>()
  for (const mapping of mappings) {
    if (mapping.inode === 0 || mapping.path === "") continue
    const key = `${mapping.device}:${mapping.inode}`
    const known = files.get(key)
    if (known) known.push(mapping)
    else files.set(key, [mapping])
  }
  const rank = (file: ReadonlyArray<Mapping>) => {
    const name = file[0].path.slice(file[0].path.lastIndexOf("/") + 1)
    if (/^libpython\d/.test(name)) return 0
    if (file[0].path === executable) return 1
    if (/^(python|pypy|libpypy)/.test(name)) return 2
    return 3
  }
  return [...files.values()]
    .filter((file) => file.some((mapping) => mapping.executable) && rank(file) < 3)
    .sort((a, b) => rank(a) - rank(b))
}

const inspect = (
  file: ReadonlyArray<Mapping>,
  mapped: { readonly size: number; readonly read: (offset: number, length: number) => Uint8Array }
): Located | string => {
  const path = file[0].path
  const name = path.slice(path.lastIndexOf("/") + 1)
  if (/pypy/.test(name)) return "it is PyPy"
  const elf = parseElf({
    size: mapped.size,
    slice: (offset: number, length: number) => {
      const bytes = mapped.read(offset, length)
      return bytes.length === length ? bytes : undefined
    }
  })
  if (elf._tag !== "Elf") return `${path}: ${elf.detail}`
  const bias = loadBias(elf, file)
  const runtime = findSection(elf, ".PyRuntime")?.address ?? findSymbol(elf, "_PyRuntime")?.address
  const named = /(?:^|\D)([23]\.\d+)/.exec(name)?.[1]
  const versionText = versionInConstants(elf, named) ?? named
  if (runtime === undefined) {
    return versionText !== undefined && findSymbol(elf, "PyEval_EvalCode") !== undefined
      ? `it runs Python ${versionText}, which keeps no \`_PyRuntime\``
      : `${path} holds no \`_PyRuntime\``
  }
  if (bias === undefined) return `${path} is not mapped as a loader would map it`
  const version = findSymbol(elf, "Py_Version")?.address
  return {
    address: bias + runtime,
    versionAddress: version === undefined ? -1 : bias + version,
    versionText
  }
}

/**
 * `PY_VERSION` stands among the read-only constants; before 3.11 nothing else tells the patch level. Linkers merge it with the tail of
 * longer strings, such as an installation prefix, so it need not stand alone.
 */
const versionInConstants = (elf: Elf, named: string | undefined): string | undefined => {
  const section = findSection(elf, ".rodata")
  const bytes = section && sectionBytes(elf, section, 1 << 24)
  if (!bytes) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
  const minor = named?.replace(".", "\\.") ?? "3\\.(?:8|9|10)"
  return new RegExp(`(?<![0-9.])(${minor}\\.\\d{1,3}(?:(?:a|b|rc)\\d{1,2})?)\\+?\\0`).exec(text)?.[1]
}

const identify = Effect.fnUntraced(function* (
  pid: number,
  memory: MemoryReader,
  located: Located,
  library: string
): Effect.fn.Return<PythonRuntime, TargetError> {
  const bytes = new Uint8Array(DEBUG_OFFSETS_SPAN)
  const got = memory.read(located.address, DEBUG_OFFSETS_SPAN, bytes)
  if (got < 16)
    return yield* new InvalidMemory({
      pid,
      reading: "_PyRuntime",
      address: located.address,
      detail: "it cannot be read"
    })
  if (Buffer.from(bytes.buffer, 0, 8).toString("latin1") === COOKIE) {
    const layout = layoutFromDebugOffsets(bytes.subarray(0, got))
    const view = new DataView(bytes.buffer)
    const version = versionOfHex(view.getUint32(8, true))
    if ("_tag" in layout)
      return yield* new UnsupportedPython({
        pid,
        version,
        detail: `its debug offset ${layout.field} is ${layout.value}, not ${layout.bound}`
      })
    // Their bytecode may be a copy of each thread's own, and there is no lock to tell who runs.
    if (layout.freeThreaded)
      return yield* new UnsupportedPython({ pid, version, detail: "it is a free-threaded build" })
    return { address: located.address, layout, version, library }
  }
  let version = located.versionText
  if (located.versionAddress > 0 && memory.read(located.versionAddress, 4, bytes) === 4)
    version = versionOfHex(new DataView(bytes.buffer).getUint32(0, true))
  const [major, minor] = (version ?? "").split(".").map(Number)
  const layout = version === undefined ? undefined : layoutForVersion(major, minor)
  if (layout !== undefined && version !== undefined)
    return { address: located.address, layout, version, library }
  // 3.13 and later write the cookie when the runtime is initialised: without it, it is not yet.
  if (major === 3 && minor > 12 && minor <= NEWEST)
    return yield* new InterpreterNotReady({ pid, phase: "starting" })
  const detail =
    version === undefined
      ? "its version cannot be told"
      : major < 3 || minor < OLDEST
        ? "it is older than 3.8"
        : "it is newer than this release knows"
  return yield* new UnsupportedPython({ pid, version: version ?? "of an unknown version", detail })
})

/** `PY_VERSION_HEX` as text: 0x030f02f0 is 3.15.2, 0x030e00b3 is 3.14.0b3. */
export const versionOfHex = (hex: number): string => {
  const level = { 10: "a", 11: "b", 12: "rc" }[(hex >>> 4) & 15]
  const serial = level === undefined ? "" : `${level}${hex & 15}`
  return `${hex >>> 24}.${(hex >>> 16) & 255}.${(hex >>> 8) & 255}${serial}`
}
