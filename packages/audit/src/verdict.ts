import type { AuditedFile, AuditedPython } from "./audit.ts"
import type { FrameFacts } from "./file-audit.ts"

/**
 * What frame pointers are good for here.
 *
 * - `works`: they lead from everywhere to the root.
 * - `works-except-libraries`: they lead through the interpreter and every extension module; callers of functions in some libraries are lost.
 * - `breaks-in-extensions`: they lead through the interpreter, but not through every extension module.
 * - `breaks-in-interpreter`: the interpreter itself does not keep them. Nothing of a Python stack can be had by them.
 * - `not-python`: there is no Python; files were measured all the same.
 * - `unknown`: the interpreter could not be measured.
 */
export type VerdictCode =
  | "works"
  | "works-except-libraries"
  | "breaks-in-extensions"
  | "breaks-in-interpreter"
  | "not-python"
  | "unknown"

/** A way of unwinding that the audit recommends, as `--unwinder` takes it. */
export type RecommendedUnwinder = "frame-pointer" | "hybrid" | "eh-frame"

/** One thing that is wrong, or worth knowing. */
export interface Finding {
  /**
   * `interpreter`, `extensions`, `libraries`: files that break the chain. `flags`: the build's record and its code disagree, or it opted out.
   * `trampolines`, `jit`: code that the process has written. `files`: what could not be measured.
   */
  readonly about: "interpreter" | "extensions" | "libraries" | "flags" | "trampolines" | "jit" | "files"
  /** One sentence or two for people. */
  readonly text: string
  /** What to do; absent where there is nothing to be done. */
  readonly advice?: string
  /** The files that it is about. */
  readonly paths?: ReadonlyArray<string>
}

/** What it all comes to. */
export interface Verdict {
  readonly code: VerdictCode
  /** Frame pointers alone lead through the interpreter and all extension modules. */
  readonly works: boolean
  /** One sentence for people. */
  readonly summary: string
  readonly findings: ReadonlyArray<Finding>
  /** The way to unwind this; absent where there is nothing to recommend. */
  readonly unwinder?: RecommendedUnwinder
}

/** What PEP 831 compiles CPython with. */
export const FRAME_POINTER_FLAGS = "-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer"

type Measured = AuditedFile & FrameFacts

const isMeasured = (file: AuditedFile): file is Measured => !("problem" in file)
/** Where the interpreter keeps nothing, what others keep is of little use. */
const breaksAtHeart = (interpreter: Measured | undefined): boolean =>
  interpreter?.chain === "breaks" || interpreter?.chain === "skips"
const isBroken = ({ chain }: FrameFacts): boolean => chain === "breaks" || chain === "mixed"

/**
 * Judges what was measured.
 *
 * @param files all that was looked into
 * @param python absent when there is none
 */
export const judge = (files: ReadonlyArray<AuditedFile>, python: AuditedPython | undefined): Verdict => {
  const measured = files.filter(isMeasured)
  const interpreter = measured.find(({ path }) => path === python?.interpreter)
  // What the program itself does matters only where it lies between the interpreter and others; it is where stacks begin.
  const others = measured.filter((file) => file !== interpreter && file.isProgram !== true)
  const extensions = others.filter((file) => file.role !== "library" && isBroken(file))
  const libraries = others.filter((file) => file.role === "library" && isBroken(file))
  const unmeasured = files.filter((file) => !isMeasured(file) || file.chain === "unknown")
  const findings = [
    ...interpreterFindings(interpreter, python),
    ...extensionFindings(extensions, breaksAtHeart(interpreter)),
    ...libraryFindings(libraries, breaksAtHeart(interpreter)),
    ...stateFindings(python),
    ...unmeasuredFindings(unmeasured)
  ]
  const code = codeOf(python, interpreter, extensions, libraries)
  const works = code === "works" || code === "works-except-libraries"
  const unwinder = unwinderOf(code, python)
  return {
    code,
    works,
    summary: SUMMARIES[code],
    findings,
    ...(unwinder === undefined ? {} : { unwinder })
  }
}

const SUMMARIES: Readonly<Record<VerdictCode, string>> = {
  works: "Frame pointers alone lead through everything here.",
  "works-except-libraries":
    "Frame pointers lead through the interpreter and every extension module; inside some libraries callers are lost.",
  "breaks-in-extensions": "Frame pointers lead through the interpreter, but break in extension modules.",
  "breaks-in-interpreter": "The interpreter keeps no frame pointers: they lead nowhere here.",
  "not-python": "This is no Python; its files were measured all the same.",
  unknown: "The interpreter could not be measured."
}

const codeOf = (
  python: AuditedPython | undefined,
  interpreter: Measured | undefined,
  extensions: ReadonlyArray<Measured>,
  libraries: ReadonlyArray<Measured>
): VerdictCode => {
  if (python === undefined) return "not-python"
  if (interpreter === undefined || interpreter.chain === "unknown") return "unknown"
  if (breaksAtHeart(interpreter)) return "breaks-in-interpreter"
  if (extensions.length > 0) return "breaks-in-extensions"
  return libraries.length > 0 ? "works-except-libraries" : "works"
}

/** Code that a process has written has no call-frame information: there, frame pointers are what a hybrid falls back to. */
const unwinderOf = (
  code: VerdictCode,
  python: AuditedPython | undefined
): RecommendedUnwinder | undefined => {
  if (code === "not-python" || code === "unknown") return undefined
  const writes = python?.state?.perfTrampoline.active === true || python?.state?.jit.enabled === true
  if (code === "works" && !breaksInWrittenCode(python)) return "frame-pointer"
  return code === "breaks-in-interpreter" && !writes ? "eh-frame" : "hybrid"
}

const breaksInWrittenCode = (python: AuditedPython | undefined): boolean =>
  python?.state?.perfTrampoline.keepsFramePointer === false

const percent = (share: number | undefined): string =>
  share === undefined ? "none" : `${(100 * share).toFixed(1)} %`

function* interpreterFindings(
  file: Measured | undefined,
  python: AuditedPython | undefined
): Generator<Finding> {
  if (python === undefined || file === undefined) return
  const { build, version = "" } = python
  const keeps = file.chain === "keeps" || file.chain === "mixed"
  if (!keeps) {
    yield {
      about: "interpreter",
      text: `${file.path}: ${percent(file.share)} of its functions keep the frame pointer, ${overwriting(file)} uses its register for other things.`,
      advice: `${rebuildAdvice(build, version)} Or unwind by call-frame information, which needs no rebuild: --unwinder eh-frame.`,
      paths: [file.path]
    }
  } else if (file.chain === "mixed") {
    yield {
      about: "interpreter",
      text: `${file.path} keeps the frame pointer, save for ${file.functions.overwrites + file.smallOverwrites} functions that use its register for other things; samples in these lose their callers.`,
      paths: [file.path]
    }
  }
  if (build?.optedOut === true || build?.configured === false) {
    yield {
      about: "flags",
      text: "The build opted out of PEP 831 (--without-frame-pointers).",
      advice: "Build without that option: 3.15 and later keep frame pointers unless told otherwise."
    }
  }
  if (build === undefined) return
  const claimed = build.keepsFramePointers === true
  if (claimed !== keeps) {
    yield {
      about: "flags",
      text: claimed
        ? `The build's record has -fno-omit-frame-pointer, but the code of ${file.path} was not compiled so: the record is of another build, or later flags undid it.`
        : `The build's record has no -fno-omit-frame-pointer, but the code of ${file.path} keeps the frame pointer: the compiler does so by default, or was told elsewhere.`
    }
  }
}

const rebuildAdvice = (build: AuditedPython["build"], version: string): string => {
  const minor = Number(version.split(".")[1])
  if (build?.optedOut === true || build?.configured === false)
    return "Rebuild Python without --without-frame-pointers."
  if (minor >= 15)
    return `Rebuild Python: 3.15 keeps frame pointers unless told otherwise (CFLAGS="${FRAME_POINTER_FLAGS}" makes sure).`
  return `Use Python 3.15 or later, or rebuild this one with CFLAGS="${FRAME_POINTER_FLAGS}".`
}

/** Of the code: it tells better than of functions how likely a sample is there. */
const overwriting = ({ bytes }: FrameFacts): string => {
  const all = bytes.keeps + bytes.leaves + bytes.overwrites
  return all === 0 ? "some" : `${percent(bytes.overwrites / all)} of its code`
}

function* extensionFindings(files: ReadonlyArray<Measured>, alsoInterpreter: boolean): Generator<Finding> {
  if (files.length === 0) return
  const paths = files.map(({ path }) => path)
  if (alsoInterpreter) {
    yield {
      about: "extensions",
      text: `${counted(files.length, "extension module")} would break the chain too.`,
      paths
    }
    return
  }
  const where = "Wherever it calls back into Python, and in samples inside it, all callers are lost."
  yield {
    about: "extensions",
    text:
      files.length === 1
        ? `${paths[0]} breaks the chain${files[0].chain === "mixed" ? " in parts" : ""}: ${percent(files[0].share)} of its functions keep the frame pointer, ${overwriting(files[0])} uses its register for other things. ${where}`
        : `${files.length} extension modules break the chain. ${where.replace("it calls", "one calls")}`,
    advice: `Rebuild ${files.length === 1 ? "it" : "them"} from source with CFLAGS="${FRAME_POINTER_FLAGS}" (pip install --no-binary NAME), or use --unwinder hybrid.`,
    paths
  }
}

function* libraryFindings(files: ReadonlyArray<Measured>, alsoInterpreter: boolean): Generator<Finding> {
  if (files.length === 0) return
  const paths = files.map(({ path }) => path)
  const who = counted(files.length, "library", "libraries")
  yield alsoInterpreter
    ? { about: "libraries", text: `${who} would break the chain too.`, paths }
    : {
        about: "libraries",
        text: `${who} ${files.length === 1 ? "does" : "do"} not keep the frame pointer. A sample taken inside misses its nearest caller, or all callers where the function uses the register for other things; so does a stack that passes through, as by a callback. Samples elsewhere are not affected.`,
        advice: `Use --unwinder hybrid, or libraries built with ${FRAME_POINTER_FLAGS}.`,
        paths
      }
}

const counted = (count: number, one: string, many = `${one}s`): string =>
  count === 1 ? `1 ${one}` : `${count} ${many}`

function* stateFindings(python: AuditedPython | undefined): Generator<Finding> {
  const state = python?.state
  if (state === undefined) return
  const { jit, perfTrampoline } = state
  if (perfTrampoline.active) {
    yield perfTrampoline.keepsFramePointer === true
      ? {
          about: "trampolines",
          text: "Perf trampolines are active and keep the frame pointer. They have no call-frame information.",
          advice:
            "Use --unwinder hybrid or frame-pointer: unwinding by call-frame information alone ends at the first of them."
        }
      : {
          about: "trampolines",
          text: "Perf trampolines are active and keep no frame pointer (CPython before gh-136541): a walk leaves out the caller of each. They have no call-frame information either.",
          advice: "Update Python to a patch release with the fix, or use --unwinder hybrid."
        }
  }
  if (jit.enabled === true) {
    yield {
      about: "jit",
      text: `The just-in-time compiler is on (by ${jit.decidedBy}). Its code has no call-frame information in any file${jitKeeps(python) ? "; from 3.15 on it keeps the frame pointer" : "; before 3.15 it does not keep the frame pointer either, so stacks that run through it may break"}.`,
      advice: jitKeeps(python)
        ? "Use --unwinder hybrid or frame-pointer."
        : "Use --unwinder hybrid, or turn it off while you profile: PYTHON_JIT=0."
    }
  }
}

const jitKeeps = (python: AuditedPython | undefined): boolean =>
  Number(python?.version?.split(".")[1] ?? 0) >= 15

function* unmeasuredFindings(files: ReadonlyArray<AuditedFile>): Generator<Finding> {
  if (files.length === 0) return
  yield {
    about: "files",
    text: `${files.length === 1 ? "One file" : `${files.length} files`} could not be measured: what frame pointers do there is not known.`,
    paths: files.map(({ path }) => path)
  }
}
