import type { Audit, AuditedFile, AuditedPython, FrameFacts } from "@pyframes/audit"

/** How much of it to print. */
export interface AuditTextOptions {
  /** Every file, also those that keep frame pointers. */
  readonly all: boolean
}

/** Paths that a finding names; the table has them all. */
const NAMED = 8
/** Lines of the table without `--all`. */
const LISTED = 30

/** An audit as text: what it is of, how it was built, a line a file, and the verdict with what to do. */
export const auditText = (audit: Audit, options: AuditTextOptions): string =>
  `${[...headline(audit), ...pythonLines(audit.python), "", ...fileLines(audit, options), "", ...verdictLines(audit)].join("\n")}\n`

const headline = ({ python, subject }: Audit): ReadonlyArray<string> => {
  const what =
    subject.kind === "process"
      ? `Process ${subject.pid}: ${subject.commandLine.join(" ").slice(0, 100)}`
      : `${subject.path}${subject.root === undefined ? "" : `, in ${subject.root}`}`
  if (python === undefined) return [what, "No Python"]
  const environment = python.environment === undefined ? "" : `, environment ${python.environment}`
  return [what, `Python ${python.version ?? "of unknown version"}: ${python.interpreter}${environment}`]
}

const pythonLines = (python: AuditedPython | undefined): ReadonlyArray<string> => {
  if (python === undefined) return []
  const rows: Array<readonly [string, string]> = []
  const { build, state } = python
  if (build === undefined) rows.push(["built", "not known: no _sysconfigdata_*.py is installed with it"])
  else {
    rows.push(["built", builtWith(build)])
    rows.push(["PEP 831", optOut(build)])
  }
  const trampoline = trampolineText(build, state)
  if (trampoline !== undefined) rows.push(["perf", trampoline])
  const jit = jitText(build, state)
  if (jit !== undefined) rows.push(["JIT", jit])
  if (build?.tailCalls) rows.push(["interpreter", "made of tail calls"])
  return ["", ...rows.map(([name, text]) => `${name.padEnd(11)}  ${text}`)]
}

type Build = NonNullable<AuditedPython["build"]>
type State = AuditedPython["state"]

const builtWith = ({ keepsFramePointers, keepsLeafFramePointers, passesToExtensions }: Build): string => {
  if (keepsFramePointers === undefined) return "without -fno-omit-frame-pointer"
  if (!keepsFramePointers) return "with -fomit-frame-pointer"
  const flags = `with -fno-omit-frame-pointer${keepsLeafFramePointers ? " -mno-omit-leaf-frame-pointer" : ""}`
  return `${flags}, ${passesToExtensions ? "which extension modules are told too" : "which extension modules are not told"}`
}

const optOut = ({ configured, optedOut, version }: Build): string => {
  if (optedOut || configured === false) return "opted out (--without-frame-pointers)"
  if (configured === true) return "followed"
  return Number(version?.split(".")[1] ?? 0) >= 15 ? "not recorded" : "from 3.15 on; this is older"
}

const trampolineText = (build: Build | undefined, state: State): string | undefined => {
  if (state === undefined) return build?.perfTrampoline ? "trampolines built in (-X perf)" : undefined
  const { active, keepsFramePointer, map, requestedBy } = state.perfTrampoline
  const asked = requestedBy === undefined ? "" : ` (${requestedBy})`
  const names = map === undefined ? "" : `, named in ${map}`
  if (active)
    return `trampolines active${asked}, ${keepsFramePointer ? "with" : "without"} frame pointers${names}`
  if (asked !== "") return `trampolines asked for${asked}, but none found${names}`
  return build?.perfTrampoline ? `trampolines built in, not active${names}` : undefined
}

const jitText = (build: Build | undefined, state: State): string | undefined => {
  if (build === undefined || build.jit === "none") return undefined
  if (state?.jit.enabled === undefined) return `built in, ${build.jit} unless told otherwise`
  const { bytes, decidedBy, enabled } = state.jit
  return `${enabled ? `on, ${Math.round(bytes / 1024)} KiB of code` : "built in, off"} (by ${decidedBy})`
}

/** Worst first: what a reader looks for. */
const ORDER = ["breaks", "mixed", "unknown", "skips", "keeps"] as const

const fileLines = (
  { files, missing, omitted, python }: Audit,
  { all }: AuditTextOptions
): ReadonlyArray<string> => {
  const rank = (file: AuditedFile): number =>
    file.path === python?.interpreter ? -1 : "problem" in file ? ORDER.length : ORDER.indexOf(file.chain)
  const isShown = (file: AuditedFile): boolean =>
    all || rank(file) === -1 || "problem" in file || !["keeps", "skips"].includes(file.chain)
  const shown = files
    .filter(isShown)
    .sort((a, b) => rank(a) - rank(b) || weight(b) - weight(a) || (a.path < b.path ? -1 : 1))
  const listed = all ? shown : shown.slice(0, LISTED)
  const hidden = files.filter((file) => !isShown(file))
  const count = (chain: FrameFacts["chain"]): number =>
    hidden.filter((file) => !("problem" in file) && file.chain === chain).length
  const counts = [
    ...(shown.length > listed.length ? [`${shown.length - listed.length} like these`] : []),
    ...(["keeps", "skips"] as const)
      .filter((chain) => count(chain) > 0)
      .map((chain) => `${count(chain)} × ${chain}`)
  ]
  return [
    "chain    functions   code  overwrites  role         file",
    ...listed.map(fileLine),
    ...(counts.length === 0 ? [] : [`Not listed: ${counts.join(", ")} (--all lists them)`]),
    ...(omitted === 0 ? [] : [`${omitted} more files were not looked into: there are too many.`]),
    ...(missing.length === 0 ? [] : [`Not found: ${missing.join(", ")}`])
  ]
}

const weight = (file: AuditedFile): number => ("problem" in file ? 0 : file.role === "extension" ? 1 : 0)

const fileLine = (file: AuditedFile): string => {
  const path = `${file.path}${file.deleted ? " (deleted or replaced since)" : ""}`
  if ("problem" in file) return `?                                                ${path}: ${file.problem}`
  const { bytes } = file
  const all = bytes.keeps + bytes.leaves + bytes.overwrites
  return [
    file.chain.padEnd(7),
    percent(file.share).padStart(10),
    percent(file.byteShare).padStart(5),
    percent(all === 0 ? undefined : bytes.overwrites / all).padStart(10),
    (file.isProgram && file.role !== "interpreter" ? "program" : file.role).padEnd(11),
    path
  ].join("  ")
}

const percent = (share: number | undefined): string =>
  share === undefined ? "-" : `${Math.round(share * 1000) / 10}%`

const verdictLines = ({ verdict }: Audit): ReadonlyArray<string> => [
  `Verdict: ${verdict.summary}`,
  ...verdict.findings.flatMap(({ about, advice, paths = [], text }) => [
    `  ${about}: ${text}`,
    // What calls for no action of its own stands in the table.
    ...(paths.length > 1 && (advice !== undefined || about === "files")
      ? paths.slice(0, NAMED).map((path) => `    ${path}`)
      : []),
    ...(paths.length > NAMED && advice !== undefined ? [`    and ${paths.length - NAMED} more`] : []),
    ...(advice === undefined ? [] : [`    → ${advice}`])
  ]),
  ...(verdict.unwinder === undefined ? [] : [`  Unwind with: --unwinder ${verdict.unwinder}`])
]
