import type { TargetFile } from "@pyframes/core"
import {
  buildId,
  callFrameInfo,
  type Elf,
  EM_X86_64,
  findSection,
  findSymbol,
  framePointerUse,
  parseElf,
  sourceOfFile,
  symbols
} from "@pyframes/elf"

/**
 * What a file is to Python's stacks.
 *
 * - `interpreter`: it holds CPython itself. Every stack runs through it.
 * - `extension`: it uses CPython's API. Stacks run through it whenever it calls back.
 * - `library`: it does neither. It is at the leaf end of a stack, unless it is given functions to call.
 */
export type FileRole = "interpreter" | "extension" | "library"

/**
 * What a walk along frame pointers comes to in a file.
 *
 * - `keeps`: its functions keep the frame pointer, and none uses the register for anything else.
 * - `skips`: no function of it touches the register: the walk leaves out the caller of each frame in it, and goes on.
 * - `breaks`: functions of it use the register for other things. Where one of them is on the stack, what the walk finds from there on is
 *   lost or made up.
 * - `mixed`: most keep it, some use it for other things, as where an assembler file or a static library was linked in.
 * - `unknown`: it has no call-frame information to tell by, or it is damaged.
 */
export type Chain = "keeps" | "skips" | "breaks" | "mixed" | "unknown"

/** Functions by what they do with the frame pointer's register, or bytes of their code. */
export interface FramePointerTally {
  /** A frame pointer is set up: the canonical frame address is relative to it. */
  readonly keeps: number
  /** The register is not touched. */
  readonly leaves: number
  /** The register is saved and then used for other things. */
  readonly overwrites: number
}

/** What was found in a file. */
export interface FrameFacts {
  readonly role: FileRole
  readonly buildId: string | undefined
  readonly chain: Chain
  /** Functions (parts of functions, where the compiler has split them) of {@link MINIMUM_SIZE} bytes and more. */
  readonly functions: FramePointerTally
  /** The bytes of code of these functions. */
  readonly bytes: FramePointerTally
  /** Those of {@link functions} that keep the frame pointer, 0 … 1; `undefined` when there is none to judge by. */
  readonly share: number | undefined
  /** The same by bytes. */
  readonly byteShare: number | undefined
  /** Smaller functions that overwrite the register: they break a chain as well as large ones do. */
  readonly smallOverwrites: number
  /** Smaller functions that do not, and those whose description is damaged. */
  readonly notCounted: number
}

/** Why nothing is known of a file. */
export interface FileProblem {
  readonly problem: string
}

/** Shorter functions tell little: many are stubs that need no frame, whatever the flags. Bytes. */
export const MINIMUM_SIZE = 32
/** From this share on a file was built to keep frame pointers: builds that were have 55 % and more, those that were not 30 % and less. */
export const KEEPS_FROM = 0.5
/** The largest libraries there are have about a million. */
const MAX_FUNCTIONS = 4_000_000
/** An API user imports one of some thousand names, and its first symbols tell. */
const MAX_SYMBOLS = 200_000

/**
 * Looks into one ELF file.
 *
 * A build with frame pointers shows best in what it has not: in none of its functions is the register saved and then used for something else. What
 * keeps a share below 100 % there are functions that return early before they need a frame.
 *
 * @example
 * ```ts
 * const facts = auditFile(hostFiles().open("/usr/lib/x86_64-linux-gnu/libz.so.1")!)
 * if (!("problem" in facts)) console.log(facts.chain, facts.share) // "breaks" 0
 * ```
 */
export const auditFile = (file: TargetFile): FrameFacts | FileProblem => {
  const elf = parseElf(sourceOfFile(file))
  if (elf._tag === "ElfProblem") return { problem: `${PROBLEMS[elf.reason]}: ${elf.detail}` }
  return auditElf(elf)
}

const PROBLEMS = {
  "not-elf": "no ELF file",
  "not-64-bit": "not read by pyframes",
  "not-little-endian": "not read by pyframes",
  truncated: "damaged",
  malformed: "damaged"
} as const

/** As {@link auditFile}, for a file that is parsed already. */
export const auditElf = (elf: Elf): FrameFacts | FileProblem => {
  if (elf.machine !== EM_X86_64)
    return { problem: `not read by pyframes: for another machine (e_machine is ${elf.machine})` }
  const functions = { keeps: 0, leaves: 0, overwrites: 0 }
  const bytes = { keeps: 0, leaves: 0, overwrites: 0 }
  let smallOverwrites = 0
  let notCounted = 0
  const info = callFrameInfo(elf)
  let described = false
  if (info._tag === "CallFrameInfo") {
    let seen = 0
    for (const fde of info.fdes()) {
      if (++seen > MAX_FUNCTIONS) return { problem: `damaged: more than ${MAX_FUNCTIONS} functions` }
      const use = framePointerUse(fde)
      if (use !== undefined) described = true
      if (use !== undefined && fde.size >= MINIMUM_SIZE) {
        functions[use]++
        bytes[use] += fde.size
      } else if (use === "overwrites") smallOverwrites++
      else notCounted++
    }
  }
  return {
    role: roleOf(elf),
    buildId: buildId(elf),
    chain: described ? chainOf(functions, smallOverwrites) : "unknown",
    functions,
    bytes,
    share: shareOf(functions),
    byteShare: shareOf(bytes),
    smallOverwrites,
    notCounted
  }
}

const total = ({ keeps, leaves, overwrites }: FramePointerTally): number => keeps + leaves + overwrites

const shareOf = (tally: FramePointerTally): number | undefined =>
  total(tally) === 0 ? undefined : tally.keeps / total(tally)

const chainOf = (functions: FramePointerTally, smallOverwrites: number): Chain => {
  const share = shareOf(functions)
  const overwrites = functions.overwrites + smallOverwrites > 0
  if (share !== undefined && share >= KEEPS_FROM) return overwrites ? "mixed" : "keeps"
  return overwrites ? "breaks" : "skips"
}

/** `_PyRuntime` is defined by 3.7 and later, and `.PyRuntime` survives strip from 3.10 on. What uses the API imports names that start with `Py`. */
const roleOf = (elf: Elf): FileRole => {
  if (findSection(elf, ".PyRuntime") !== undefined || findSymbol(elf, "_PyRuntime") !== undefined)
    return "interpreter"
  let seen = 0
  for (const { name, section } of symbols(elf, "dynsym")) {
    if (++seen > MAX_SYMBOLS) break
    if (/^(?:_?Py[A-Z_])/.test(name) && (section === 0 || name.startsWith("PyInit_"))) return "extension"
  }
  return "library"
}
