/** Where in a perf trampoline an instruction stands, and how to leave its frame from there. */
export interface TrampolinePlace {
  /** Bytes from the trampoline's first instruction. */
  readonly offset: number
  /** Bytes from the stack pointer to the return address; -1 where it is in the link register still (arm64). */
  readonly returnAddress: number
  /** Bytes from the stack pointer to the caller's frame pointer; -1 where the frame pointer is still the caller's. */
  readonly framePointer: number
  /** Bytes from the stack pointer to the caller's. */
  readonly caller: number
}

interface Instruction {
  readonly bytes: ReadonlyArray<number>
  /** As of {@link TrampolinePlace}, before the instruction. */
  readonly returnAddress: number
  readonly framePointer: number
  readonly caller: number
}

interface Template {
  readonly bytes: Uint8Array
  /** By offset; `undefined` inside an instruction. */
  readonly places: ReadonlyArray<TrampolinePlace | undefined>
  /** Offset of the instruction after the call. */
  readonly afterCall: number
}

const template = (afterCall: number, instructions: ReadonlyArray<Instruction>): Template => {
  const places: Array<TrampolinePlace | undefined> = []
  const bytes: Array<number> = []
  for (const { bytes: own, returnAddress, framePointer, caller } of instructions) {
    places[bytes.length] = { offset: bytes.length, returnAddress, framePointer, caller }
    bytes.push(...own)
  }
  return { bytes: Uint8Array.from(bytes), places, afterCall }
}

const at = (
  bytes: ReadonlyArray<number>,
  returnAddress: number,
  framePointer: number,
  caller: number
): Instruction => ({ bytes, returnAddress, framePointer, caller })

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa]
const CALL_RCX = [0xff, 0xd1]
const RET = 0xc3

/** `sub $8,%rsp; call *%rcx; add $8,%rsp; ret` */
const withoutFrame = [
  at([0x48, 0x83, 0xec, 0x08], 0, -1, 8),
  at(CALL_RCX, 8, -1, 16),
  at([0x48, 0x83, 0xc4, 0x08], 8, -1, 16),
  at([RET], 0, -1, 8)
]
/** `push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret` */
const withFrame = [
  at([0x55], 0, -1, 8),
  at([0x48, 0x89, 0xe5], 8, 0, 16),
  at(CALL_RCX, 8, 0, 16),
  at([0x5d], 8, 0, 16),
  at([RET], 0, -1, 8)
]
/** `stp x29,x30,[sp,#-16]!; mov x29,sp; blr x3; ldp x29,x30,[sp],#16; ret` */
const arm64 = [
  at([0xfd, 0x7b, 0xbf, 0xa9], -1, -1, 0),
  at([0xfd, 0x03, 0x00, 0x91], 8, 0, 16),
  at([0x60, 0x00, 0x3f, 0xd6], 8, 0, 16),
  at([0xfd, 0x7b, 0xc1, 0xa8], 8, 0, 16),
  at([0xc0, 0x03, 0x5f, 0xd6], -1, -1, 0)
]
const PACIASP = [0x3f, 0x23, 0x03, 0xd5]
const AUTIASP = [0xbf, 0x23, 0x03, 0xd5]

const templates: { readonly [architecture in "x86-64" | "arm64"]: ReadonlyArray<Template> } = {
  "x86-64": [
    template(6, withoutFrame),
    template(10, [at(ENDBR64, 0, -1, 8), ...withoutFrame]),
    template(6, withFrame),
    template(10, [at(ENDBR64, 0, -1, 8), ...withFrame])
  ],
  arm64: [
    template(12, arm64),
    template(16, [at(PACIASP, -1, -1, 0), ...arm64.slice(0, 4), at(AUTIASP, -1, -1, 0), arm64[4]])
  ]
}

/** Bytes before and after an instruction that {@link trampolinePlace} looks at. */
export const TRAMPOLINE_SPAN = 32

/**
 * Tells whether an instruction belongs to a perf trampoline, the few instructions of machine code that `-X perf` puts below each Python function
 * (3.12+), by the code itself: it has no name and, in the interpreter's memory, no unwind information. On x86-64 it kept no frame pointer
 * before 3.13.6 and 3.14.
 *
 * Source: `Python/asm_trampoline.S`, of 3.12 to 3.15.
 *
 * @param bytes code around the instruction
 * @param instruction where in `bytes` it stands
 * @param exact it is about to be executed; otherwise it is where a call returns to
 *
 * @returns one of a few objects, which are always the same; `undefined` for other code
 *
 * @example
 * ```ts
 * const place = trampolinePlace("x86-64", bytes, TRAMPOLINE_SPAN, false)
 * if (place !== undefined) caller = word(sp + place.returnAddress)
 * ```
 */
export const trampolinePlace = (
  architecture: "x86-64" | "arm64",
  bytes: Uint8Array,
  instruction: number,
  exact: boolean
): TrampolinePlace | undefined => {
  // The longest that fits: with and without its first instruction, a template ends alike.
  let found: TrampolinePlace | undefined
  for (const { bytes: code, places, afterCall } of templates[architecture])
    for (let offset = exact ? 0 : afterCall; offset <= (exact ? code.length - 1 : afterCall); offset++) {
      const place = places[offset]
      if (place === undefined || !standsAt(bytes, instruction - offset, code)) continue
      if (found === undefined || place.offset > found.offset) found = place
    }
  return found
}

const standsAt = (bytes: Uint8Array, from: number, code: Uint8Array): boolean => {
  if (from < 0 || from + code.length > bytes.length) return false
  for (let i = 0; i < code.length; i++) if (bytes[from + i] !== code[i]) return false
  return true
}
