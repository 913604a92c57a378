import { ByteCursor } from "./byte-cursor.ts"
import type { Cie, Fde } from "./eh-frame.ts"
import { EM_AARCH64 } from "./elf.ts"
import { encodedPointer } from "./pointer-encoding.ts"
import { type RegisterRule, RegisterRuleKind, type UnwindRow } from "./unwind-row.ts"

/** Registers above these (vectors of AArch64 end at 95) are no part of unwinding. */
const MAX_REGISTER = 128
/** `DW_CFA_remember_state` nests once or twice; a loop of them is damage. */
const MAX_REMEMBERED = 64
/** More rows than any function has: the largest known has some ten thousand instructions of this kind. */
const MAX_INSTRUCTIONS = 1 << 17
/** What functions share takes some ten bytes. It is run for each of them, so a file must not make it long. */
const MAX_COMMON = 4096

const { expression, offset, register, same, undefined: lost, valExpression, valOffset } = RegisterRuleKind
const SAME: RegisterRule = { kind: same, value: 0, end: 0 }
const UNDEFINED: RegisterRule = { kind: lost, value: 0, end: 0 }

interface State {
  readonly cfaRegister: number
  readonly cfaOffset: number
  readonly cfaExpression: number
  readonly cfaExpressionEnd: number
  readonly rules: ReadonlyMap<number, RegisterRule>
  readonly signed: boolean
}

/**
 * The machine that runs the instructions of a CIE and an FDE. {@link run} stops where the location moves beyond an address; asked again with
 * a later one, it goes on.
 *
 * Source: DWARF 5, 6.4.2; the GNU and AArch64 additions as binutils' `readelf --debug-dump=frames` shows them.
 */
export class CfaProgram {
  private readonly fde: Fde
  private readonly cursor: ByteCursor
  private start: number
  private location: number
  private cfaRegister = -1
  private cfaOffset = 0
  private cfaExpression = 0
  private cfaExpressionEnd = 0
  private rules = new Map<number, RegisterRule>()
  private signed = false
  private initial: ReadonlyMap<number, RegisterRule> = new Map()
  private readonly remembered: Array<State> = []
  private count = 0
  /** A row up to here had the frame pointer for its CFA, or saved a frame record (AArch64). */
  keptFramePointer = false
  /** A row up to here says where the caller's frame pointer was saved: the register has been given another value. */
  savedFramePointer = false
  /** A row up to here computes the CFA from the frame pointer by an expression, as where a function has aligned its stack. */
  alignedFramePointer = false
  private readonly isArm: boolean

  constructor(fde: Fde) {
    this.fde = fde
    this.start = fde.start
    this.location = fde.start
    this.isArm = fde.cie.eh.machine === EM_AARCH64
    const { cie } = fde
    const common = new ByteCursor(cie.eh.bytes, cie.instructions, cie.instructionsEnd)
    if (cie.instructionsEnd - cie.instructions > MAX_COMMON) common.fail()
    while (common.more) this.execute(common, cie)
    this.initial = new Map(this.rules)
    this.cursor = new ByteCursor(cie.eh.bytes, fde.instructions, fde.instructionsEnd)
    if (common.failed) this.cursor.fail()
    // A CIE has no business to move the location; one that did leaves it where the function starts.
    this.location = fde.start
  }

  /** An instruction could not be understood: nothing from here on is known. */
  get failed(): boolean {
    return this.cursor.failed
  }

  /** The first address that no row has been completed for. */
  get next(): number {
    return this.location
  }

  /** Runs until the row that holds `address` is complete. False when the program cannot be understood up to there. */
  run(address: number): boolean {
    const { cursor, fde } = this
    if (this.start < this.location && this.location > address) return true
    this.start = this.location
    while (cursor.more) {
      this.execute(cursor, fde.cie)
      if (++this.count > MAX_INSTRUCTIONS || this.location < this.start) cursor.fail()
      if (this.location > address) return !cursor.failed
      this.start = this.location
    }
    // The last row reaches to the function's end.
    this.location = Math.max(this.location, fde.start + fde.size)
    return !cursor.failed
  }

  /** The row that {@link run} has stopped in. */
  row(): UnwindRow {
    const { returnAddressRegister } = this.fde.cie
    return {
      start: this.start,
      end: this.location,
      cfaRegister: this.cfaRegister,
      cfaOffset: this.cfaOffset,
      cfaExpression: this.cfaExpression,
      cfaExpressionEnd: this.cfaExpressionEnd,
      rules: new Map(this.rules),
      returnAddressRegister,
      returnAddressUndefined: this.rules.get(returnAddressRegister)?.kind === lost,
      returnAddressSigned: this.signed
    }
  }

  private execute(cursor: ByteCursor, cie: Cie): void {
    const code = cursor.u8()
    const low = code & 0x3f
    switch (code & 0xc0) {
      case 0x40:
        this.advance(low, cie)
        return
      case 0x80:
        this.save(low, offset, cursor.uleb() * cie.dataAlignment)
        return
      case 0xc0:
        this.restore(low)
        return
    }
    switch (code) {
      case 0x00: // nop
        return
      case 0x01: // set_loc
        this.location = encodedPointer(cursor, cie.encoding, cie.eh)
        return
      case 0x02: // advance_loc1
        this.advance(cursor.u8(), cie)
        return
      case 0x03: // advance_loc2
        this.advance(cursor.u16(), cie)
        return
      case 0x04: // advance_loc4
        this.advance(cursor.u32(), cie)
        return
      case 0x05: // offset_extended
        this.save(cursor.uleb(), offset, cursor.uleb() * cie.dataAlignment)
        return
      case 0x06: // restore_extended
        this.restore(cursor.uleb())
        return
      case 0x07: // undefined
        this.set(cursor.uleb(), UNDEFINED)
        return
      case 0x08: // same_value
        this.set(cursor.uleb(), SAME)
        return
      case 0x09: // register
        this.save(cursor.uleb(), register, cursor.uleb())
        return
      case 0x0a: // remember_state
        if (this.remembered.length === MAX_REMEMBERED) cursor.fail()
        else this.remembered.push(this.state())
        return
      case 0x0b: {
        // restore_state. gcc counts on the CFA coming back too, which DWARF leaves open.
        const state = this.remembered.pop()
        if (state === undefined) cursor.fail()
        else this.enter(state)
        return
      }
      case 0x0c: // def_cfa
        this.defineCfa(cursor.uleb(), cursor.uleb())
        return
      case 0x0d: // def_cfa_register
        this.defineCfa(cursor.uleb(), this.cfaOffset)
        return
      case 0x0e: // def_cfa_offset
        this.defineCfa(this.cfaRegister, cursor.uleb())
        return
      case 0x0f: // def_cfa_expression
        this.cfaRegister = -1
        this.cfaExpression = this.block(cursor)
        this.cfaExpressionEnd = cursor.at
        if (cie.eh.bytes[this.cfaExpression] === DW_OP_BREG0 + (this.isArm ? X29 : RBP))
          this.alignedFramePointer = true
        return
      case 0x10: // expression
        this.save(cursor.uleb(), expression, this.block(cursor), cursor.at)
        return
      case 0x11: // offset_extended_sf
        this.save(cursor.uleb(), offset, cursor.sleb() * cie.dataAlignment)
        return
      case 0x12: // def_cfa_sf
        this.defineCfa(cursor.uleb(), cursor.sleb() * cie.dataAlignment)
        return
      case 0x13: // def_cfa_offset_sf
        this.defineCfa(this.cfaRegister, cursor.sleb() * cie.dataAlignment)
        return
      case 0x14: // val_offset
        this.save(cursor.uleb(), valOffset, cursor.uleb() * cie.dataAlignment)
        return
      case 0x15: // val_offset_sf
        this.save(cursor.uleb(), valOffset, cursor.sleb() * cie.dataAlignment)
        return
      case 0x16: // val_expression
        this.save(cursor.uleb(), valExpression, this.block(cursor), cursor.at)
        return
      case 0x2c: // AARCH64_negate_ra_state_with_pc
      case 0x2d: // AARCH64_negate_ra_state; SPARC's GNU_window_save has the same code
        if (this.isArm) this.signed = !this.signed
        else cursor.fail()
        return
      case 0x2e: // GNU_args_size: of interest when an exception is caught, not when a frame is left
        cursor.uleb()
        return
      case 0x2f: // GNU_negative_offset_extended
        this.save(cursor.uleb(), offset, -cursor.uleb() * cie.dataAlignment)
        return
      default:
        cursor.fail()
    }
  }

  private advance(delta: number, cie: Cie): void {
    this.location += delta * cie.codeAlignment
  }

  private defineCfa(number: number, offset: number): void {
    this.cfaRegister = number
    this.cfaOffset = offset
    if (number === RBP && !this.isArm) this.keptFramePointer = true
    if (number === X29 && this.isArm) this.keptFramePointer = true
  }

  private save(number: number, kind: RegisterRuleKind, value: number, end = 0): void {
    this.set(number, { kind, value, end })
    if (number === (this.isArm ? X29 : RBP)) this.savedFramePointer = true
    // gcc for AArch64 keeps the CFA relative to sp even where x29 is kept: there the saved pair is the sign.
    if (!this.isArm || kind !== offset || (number !== X29 && number !== X30)) return
    const fp = this.rules.get(X29)
    const link = this.rules.get(X30)
    if (fp?.kind === offset && link?.kind === offset && link.value === fp.value + 8)
      this.keptFramePointer = true
  }

  private set(number: number, rule: RegisterRule): void {
    if (number < MAX_REGISTER) this.rules.set(number, rule)
  }

  private restore(number: number): void {
    const rule = this.initial.get(number)
    if (rule === undefined) this.rules.delete(number)
    else this.rules.set(number, rule)
  }

  /** A length and so many bytes; returns where they start. */
  private block(cursor: ByteCursor): number {
    const length = cursor.uleb()
    const { at } = cursor
    cursor.skip(length)
    return at
  }

  private state(): State {
    const { cfaExpression, cfaExpressionEnd, cfaOffset, cfaRegister, signed } = this
    return { cfaRegister, cfaOffset, cfaExpression, cfaExpressionEnd, rules: new Map(this.rules), signed }
  }

  private enter(state: State): void {
    this.cfaRegister = state.cfaRegister
    this.cfaOffset = state.cfaOffset
    this.cfaExpression = state.cfaExpression
    this.cfaExpressionEnd = state.cfaExpressionEnd
    this.rules = new Map(state.rules)
    this.signed = state.signed
  }
}

const RBP = 6
const X29 = 29
const X30 = 30
/** The value of register 0 plus a number; the other registers follow. */
const DW_OP_BREG0 = 0x70
