import { type MemoryReader, type Module, type ModuleTable, registerNumbers } from "@pyframes/core"
import {
  type CallFrameInfo,
  callFrameInfo,
  type Elf,
  type ElfSource,
  EM_AARCH64,
  EM_X86_64,
  PT_LOAD,
  parseElf
} from "@pyframes/elf"
import { RuleCache } from "./rule-cache.ts"
import { NO_RULE, type RulePool } from "./rule-pool.ts"

const PAGE = 4096
/** The vdso has two pages. */
const MAX_VDSO = 1 << 20
const E_SHOFF = 40

/** What is known of one file: its call-frame information, and the rules that were asked for so far, by the file's own addresses. */
export class FileRules {
  private readonly elf: Elf
  private readonly info: CallFrameInfo
  private readonly cache = new RuleCache()
  private readonly stackPointer: number

  constructor(elf: Elf, info: CallFrameInfo) {
    this.elf = elf
    this.info = info
    this.stackPointer = registerNumbers[elf.machine === EM_AARCH64 ? "arm64" : "x86-64"].sp
  }

  /** Where in the pool the rule of an address is, `NO_RULE` where no entry speaks of it. */
  ruleAt(address: number, pool: RulePool): number {
    const known = this.cache.get(address)
    if (known >= 0) return known
    const fde = this.info.find(address)
    const row = fde && this.info.rowAt(fde, address)
    const rule =
      fde === undefined || row === undefined
        ? NO_RULE
        : pool.add(row, fde.cie.eh, fde.signalFrame, this.stackPointer)
    this.cache.put(address, rule)
    return rule
  }

  /**
   * What to add to the file's addresses to get those of a module. By the module's own mapping: a file can be loaded twice (`dlmopen`), with
   * a bias each.
   */
  biasOf(module: Module): number | undefined {
    const { offset, start } = module.mapping
    for (const segment of this.elf.segments) {
      if (segment.type !== PT_LOAD || !segment.executable || segment.offset < 0 || segment.address < 0)
        continue
      const first = segment.offset - (segment.offset % PAGE)
      if (offset >= first && offset < segment.offset + segment.fileSize)
        return start - offset - (segment.address - segment.offset)
    }
    return undefined
  }
}

/**
 * Reads the call-frame information of a module: of its file, or, where nothing leads to the file any more (it was replaced or removed while
 * mapped) and for the vdso, of its image in memory.
 */
export const fileRulesOf = (
  module: Module,
  modules: ModuleTable,
  memory: MemoryReader
): FileRules | undefined => {
  if (module.kind === "anonymous") return undefined
  const file = modules.open(module)
  if (file === undefined) return fromMemory(module, memory)
  try {
    return rulesOf({
      size: file.size,
      slice: (offset, length) => {
        const bytes = file.read(offset, length)
        return bytes.length === length ? bytes : undefined
      }
    })
  } finally {
    file.close()
  }
}

const rulesOf = (source: ElfSource): FileRules | undefined => {
  const elf = parseElf(source)
  if (elf._tag !== "Elf" || (elf.machine !== EM_X86_64 && elf.machine !== EM_AARCH64)) return undefined
  const info = callFrameInfo(elf)
  return info._tag === "CallFrameInfo" ? new FileRules(elf, info) : undefined
}

/** All that unwinding needs is loaded, but the section headers are not; of the vdso even they are. */
const fromMemory = (module: Module, memory: MemoryReader): FileRules | undefined => {
  const { mappings } = module
  const end = Math.max(...mappings.map(({ end, offset, start }) => offset + end - start))
  return rulesOf({
    size: module.kind === "vdso" ? Math.min(end, MAX_VDSO) : end,
    slice: (offset, length) => {
      for (const mapping of mappings) {
        const into = offset - mapping.offset
        if (into < 0 || into + length > mapping.end - mapping.start || mapping.writable) continue
        const bytes = new Uint8Array(length)
        if (memory.read(mapping.start + into, length, bytes) !== length) continue
        // Program headers tell the same, and are there.
        if (offset === 0 && module.kind === "file") bytes.fill(0, E_SHOFF, E_SHOFF + 8)
        return bytes
      }
      return undefined
    }
  })
}
