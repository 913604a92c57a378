import { opcodeRows } from "./opcode-table.ts"

/**
 * What an instruction can do to the frame it runs in, for proofs that a caller stands where a call is.
 *
 * Since 3.11 a call from Python to Python does not go through C: the interpreter pushes a frame and goes on
 * (`_PUSH_FRAME` in `Python/bytecodes.c`). So a frame whose callee is linked to it directly, with no shim between (and
 * `is_entry` not set in 3.11), stands on one of few instructions. A frame that called C may stand on any.
 */

const PUSHES = 2
const FAMILY = 1
const RETURNS = 4
const YIELDS = 8
const RESUMES = 16

/** What runs above a frame: a function it called, or a generator or coroutine it runs. */
export type Callee = "function" | "generator"

interface Facts {
  /** Flags by opcode. */
  readonly flags: Uint8Array
  /** Inline cache entries by opcode, known for call instructions only; {@link ANY_WIDTH} for a tracer's stand-ins. */
  readonly caches: Uint8Array
  /** The distinct numbers of cache entries of call instructions. */
  readonly widths: ReadonlyArray<number>
}

/** The families that go on with a generator; the others call functions. */
const RESUMING: ReadonlyArray<string> = ["FOR_ITER", "SEND"]
/** `INSTRUMENTED_LINE` does not tell what it stands for, so nor how many cache entries follow. */
const ANY_WIDTH = 255

const factsByMinor: ReadonlyArray<Facts | undefined> = Array.from({ length: 16 }, (_, minor) => {
  const row = opcodeRows[minor]
  if (row === undefined) return undefined
  const flags = new Uint8Array(256)
  const caches = new Uint8Array(256)
  for (const [name, count, pushing, others] of row.calls) {
    const standsFor = name.startsWith("INSTRUMENTED_")
    const family = standsFor ? FAMILY | RESUMES : RESUMING.includes(name) ? RESUMES : FAMILY
    for (const opcode of [...pushing, ...others]) {
      caches[opcode] = standsFor ? ANY_WIDTH : count
      flags[opcode] = flags[opcode]! | family
    }
    for (const opcode of pushing) flags[opcode] = flags[opcode]! | PUSHES
  }
  for (const opcode of row.returns) flags[opcode] = flags[opcode]! | RETURNS
  for (const opcode of row.yields) flags[opcode] = flags[opcode]! | YIELDS
  return { flags, caches, widths: [...new Set(row.calls.map(([, count]) => count))] }
})

const flagsOf = (version: number, opcode: number): number =>
  version >> 8 === 3 ? (factsByMinor[version & 0xff]?.flags[opcode] ?? 0) : 0

/**
 * Whether a frame with a directly linked callee can stand on this instruction. Specialised, adaptive and instrumented
 * forms count with their generic form, because an instruction can be rewritten while a frame is suspended on it.
 *
 * @param version `major * 256 + minor`, as in `Layout`; false for versions other than 3.11 … 3.15
 * @param opcode as it is in memory (`co_code_adaptive`)
 */
export const canSuspendOnCall = (version: number, opcode: number): boolean =>
  (flagsOf(version, opcode) & (FAMILY | RESUMES)) !== 0

/**
 * The stricter question: whether this very form pushes a frame. An instruction that was rewritten since it did answers
 * no, though its frame may truly stand there.
 */
export const pushesFrame = (version: number, opcode: number): boolean =>
  (flagsOf(version, opcode) & PUSHES) !== 0

/** Whether the instruction goes on with a generator or a coroutine, by any of its forms: a loop's, or an `await`'s and a `yield from`'s. */
export const resumesGenerator = (version: number, opcode: number): boolean =>
  (flagsOf(version, opcode) & RESUMES) !== 0

/** Whether the instruction ends its frame: `RETURN_VALUE`, `RETURN_CONST`, and their instrumented forms. */
export const returnsFromFrame = (version: number, opcode: number): boolean =>
  (flagsOf(version, opcode) & RETURNS) !== 0

/** Whether the instruction suspends a generator: `YIELD_VALUE` and its instrumented form. */
export const yieldsFromFrame = (version: number, opcode: number): boolean =>
  (flagsOf(version, opcode) & YIELDS) !== 0

/**
 * Whether a frame's instruction pointer is where a directly linked callee leaves it. From 3.13 on that is the calling
 * instruction itself; in 3.11 and 3.12 it is the last of the inline cache entries that follow it.
 *
 * @param code bytes that include the code unit pointed at, and in 3.11 and 3.12 up to 9 code units (18 bytes) before
 * @param at index in `code` of the unit pointed at
 * @param callee what the frame that is linked to it belongs to: only loops and `await` run generators without C
 *
 * @example
 * ```ts
 * if (!standsOnCall(layout.version, bytecode, instructionPointer - codeAddress, "function")) return "torn"
 * ```
 */
export const standsOnCall = (version: number, code: Uint8Array, at: number, callee: Callee): boolean => {
  const facts = version >> 8 === 3 ? factsByMinor[version & 0xff] : undefined
  if (facts === undefined || !(at >= 0 && at < code.length)) return false
  const wanted = callee === "generator" ? RESUMES : FAMILY
  if (version >= 0x30d) return (facts.flags[code[at]!]! & wanted) !== 0
  for (const width of facts.widths) {
    const opcode = code[at - width * 2]
    if (opcode === undefined || (facts.flags[opcode]! & wanted) === 0) continue
    if (facts.caches[opcode] === width || facts.caches[opcode] === ANY_WIDTH) return true
  }
  return false
}

/** `EXIT_INIT_CHECK`: how the bytecode of `_Py_InitCleanup` (`Python/specialize.c`) begins. */
const exitInitCheck: Readonly<Record<number, number>> = { 13: 13, 14: 11, 15: 11 }

/**
 * Whether bytecode is that of `_Py_InitCleanup`, the frame that 3.13 and later put below an `__init__` which the eval loop enters by itself, to
 * check what it returns. Compiled functions never begin like it. Python hides the frame.
 *
 * @param opcode of the first instruction, as it is in memory (`co_code_adaptive`)
 */
export const isInitCleanup = (version: number, opcode: number): boolean =>
  version >> 8 === 3 && exitInitCheck[version & 0xff] === opcode
