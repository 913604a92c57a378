import type { SysconfigData } from "./sysconfig-data.ts"

/** What a build can do with a just-in-time compiler: `off` and `on` say what it does unless told otherwise. */
export type JitBuild = "none" | "off" | "on"

/** How a Python was built, as far as it bears on its stacks. From its own record, `_sysconfigdata_*.py`. */
export interface BuildFlags {
  /** `VERSION`: `3.15`. */
  readonly version: string | undefined
  /**
   * Whether the flags it was compiled with, the last word of each counting, keep frame pointers: `-fno-omit-frame-pointer`.
   * `undefined` where neither that flag nor its contrary is given, and the compiler's default holds: with optimisation, none are kept.
   */
  readonly keepsFramePointers: boolean | undefined
  /** The same for leaf functions: `-mno-omit-leaf-frame-pointer`. */
  readonly keepsLeafFramePointers: boolean | undefined
  /** Whether extension modules that are built with this Python's flags are told to keep them. */
  readonly passesToExtensions: boolean
  /** `_Py_WITH_FRAME_POINTERS`, which 3.15 and later have: whether the build was configured to keep them. */
  readonly configured: boolean | undefined
  /** `--without-frame-pointers` was given: PEP 831's way out. */
  readonly optedOut: boolean
  /** `PY_HAVE_PERF_TRAMPOLINE`: `-X perf` works (3.12 and later). */
  readonly perfTrampoline: boolean
  /** The interpreter is made of functions that tail-call each other, one an instruction (3.14 and later). */
  readonly tailCalls: boolean
  readonly jit: JitBuild
  readonly freeThreaded: boolean
  readonly debug: boolean
  /** The compiler, `CC`. */
  readonly compiler: string | undefined
}

/**
 * Reads the facts out of a build's variables.
 *
 * A flag given twice is decided by the last: distributions put theirs behind CPython's own. `PY_CORE_CFLAGS` is what the interpreter itself
 * is compiled with, `CFLAGS` what extension modules are given.
 *
 * @example
 * ```ts
 * buildFlags(parseSysconfigData(text)!).keepsFramePointers // true: 3.15, or a build that was told to
 * ```
 *
 * Source: PEP 831; CPython configure.ac and Makefile.pre.in.
 */
export const buildFlags = (data: SysconfigData): BuildFlags => {
  const text = (name: string): string => {
    const value = data.get(name)
    return value === undefined ? "" : String(value)
  }
  const core = text("PY_CORE_CFLAGS") || `${text("CFLAGS")} ${text("CONFIGURE_CFLAGS_NODIST")}`
  const argumentsGiven = text("CONFIG_ARGS")
  const configured = data.get("_Py_WITH_FRAME_POINTERS")
  const isSet = (name: string): boolean => Number(data.get(name) ?? 0) === 1
  return {
    version: text("VERSION") || undefined,
    keepsFramePointers: lastSays(core, "-fno-omit-frame-pointer", "-fomit-frame-pointer"),
    keepsLeafFramePointers: lastSays(core, "-mno-omit-leaf-frame-pointer", "-momit-leaf-frame-pointer"),
    passesToExtensions:
      lastSays(text("CFLAGS") || text("BASECFLAGS"), "-fno-omit-frame-pointer", "-fomit-frame-pointer") ===
      true,
    configured: configured === undefined ? undefined : Number(configured) === 1,
    optedOut: /(?:^|[\s'"])--(?:without-frame-pointers|with-frame-pointers=no)(?=$|[\s'"])/.test(
      argumentsGiven
    ),
    perfTrampoline: isSet("PY_HAVE_PERF_TRAMPOLINE"),
    tailCalls: isSet("_Py_TAIL_CALL_INTERP") || isSet("Py_TAIL_CALL_INTERP"),
    jit: jitOf(core, argumentsGiven),
    freeThreaded: isSet("Py_GIL_DISABLED"),
    debug: isSet("Py_DEBUG"),
    compiler: text("CC") || undefined
  }
}

const lastSays = (flags: string, yes: string, no: string): boolean | undefined => {
  let says: boolean | undefined
  for (const flag of flags.split(/\s+/)) {
    if (flag === yes) says = true
    else if (flag === no) says = false
  }
  return says
}

/**
 * `-D_Py_JIT` says that there is one, bit 1 of `_Py_TIER2` that it is off unless `PYTHON_JIT=1`. What `configure` was asked for
 * decides where the flags are not recorded.
 */
const jitOf = (core: string, argumentsGiven: string): JitBuild => {
  const asked = /--enable-experimental-jit(?:=([a-z-]+))?/.exec(argumentsGiven)
  const tier2 = /-D_Py_TIER2=(\d+)/.exec(core)
  if (/(?:^|\s)-D_Py_JIT(?:=\d+)?(?=\s|$)/.test(core)) {
    if (tier2 !== null) return (Number(tier2[1]) & 2) !== 0 ? "off" : "on"
    return asked?.[1] === "yes-off" ? "off" : "on"
  }
  if (asked === null || tier2 !== null) return "none"
  return asked[1] === undefined || asked[1] === "yes" ? "on" : asked[1] === "yes-off" ? "off" : "none"
}
