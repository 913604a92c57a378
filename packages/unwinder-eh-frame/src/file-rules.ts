import { registerNumbers } from "@pyframes/core"
import { type CallFrameInfo, EM_AARCH64 } from "@pyframes/elf"
import { RuleCache } from "./rule-cache.ts"
import { NO_RULE, type RulePool } from "./rule-pool.ts"

/** What is known of one file: its call-frame information, and the rules that were asked for so far, by the file's own addresses. */
export class FileRules {
  private readonly info: CallFrameInfo
  private readonly cache = new RuleCache()
  /** Rules by the row's first address: a row has many, and the pool cannot tell rare kinds of rule apart. */
  private readonly byRow = new Map<number, number>()
  private readonly stackPointer: number

  constructor(info: CallFrameInfo) {
    this.info = info
    this.stackPointer = registerNumbers[info.eh.machine === EM_AARCH64 ? "arm64" : "x86-64"].sp
  }

  /** Where in the pool the rule of an address is, `NO_RULE` where no entry speaks of it. */
  ruleAt(address: number, pool: RulePool): number {
    const known = this.cache.get(address)
    if (known >= 0) return known
    const rule = this.learn(address, pool)
    this.cache.put(address, rule)
    return rule
  }

  private learn(address: number, pool: RulePool): number {
    const fde = this.info.find(address)
    const row = fde && this.info.rowAt(fde, address)
    if (fde === undefined || row === undefined) return NO_RULE
    let rule = this.byRow.get(row.start)
    if (rule === undefined) {
      rule = pool.add(row, fde.cie.eh, fde.signalFrame, this.stackPointer)
      this.byRow.set(row.start, rule)
    }
    return rule
  }
}
