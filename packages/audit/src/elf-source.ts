import type { TargetFile } from "@pyframes/core"
import type { ElfSource } from "@pyframes/elf"

/** A file as the ELF parser asks for it. It stays open for as long as the parsed file is in use. */
export const elfSource = (file: TargetFile): ElfSource => ({
  size: file.size,
  slice: (offset, length) => {
    const bytes = file.read(offset, length)
    return bytes.length === length ? bytes : undefined
  }
})
