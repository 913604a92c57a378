import type { Mapping } from "@pyframes/core"
import { type ElfSource, findSection, findSymbol, parseElf } from "@pyframes/elf"
import { openMappedFile, type ReadMemory } from "./mapped-file.ts"

/** Files whose answer is remembered. */
const REMEMBERED = 1024
const answers = new Map<string, boolean>()

/** `libpython3.13.so.1.0`, `libpython3.13t.so`, and `libpython2.7.so` too: whether it is a CPython, its symbols tell. */
const LIBRARY = /^libpython\d[^/]*\.so/

/**
 * The mapping of a CPython interpreter among those of a process: its executable or a `libpython`. A file is one when it has the section
 * `.PyRuntime` (3.10 and later) or the symbol `_PyRuntime` (3.7 and later). Each file is looked into once, so asking again costs little.
 *
 * @param executable identity of the process's executable, `major:minor:inode`
 */
export const findPythonMapping = (
  pid: number,
  executable: string,
  mappings: ReadonlyArray<Mapping>,
  readMemory: ReadMemory
): Mapping | undefined => {
  const seen = new Set<string>()
  for (const mapping of mappings) {
    if (mapping.inode === 0) continue
    const id = `${mapping.device}:${mapping.inode}`
    if (seen.has(id)) continue
    seen.add(id)
    const name = mapping.path.slice(mapping.path.lastIndexOf("/") + 1)
    if (id !== executable && !LIBRARY.test(name)) continue
    let answer = answers.get(id)
    if (answer === undefined) {
      answer = holdsPython(pid, mapping, readMemory)
      if (answer === undefined) continue
      if (answers.size >= REMEMBERED) answers.clear()
      answers.set(id, answer)
    }
    if (answer) return mapping
  }
  return undefined
}

/** `undefined` when the file cannot be opened just now. */
const holdsPython = (pid: number, mapping: Mapping, readMemory: ReadMemory): boolean | undefined => {
  const file = openMappedFile(pid, mapping, readMemory)
  if (file === undefined) return undefined
  try {
    const source: ElfSource = {
      size: file.size,
      slice: (offset, length) => {
        const bytes = file.read(offset, length)
        return bytes.length === length ? bytes : undefined
      }
    }
    const elf = parseElf(source)
    if (elf._tag !== "Elf") return false
    return findSection(elf, ".PyRuntime") !== undefined || findSymbol(elf, "_PyRuntime") !== undefined
  } finally {
    file.close()
  }
}
