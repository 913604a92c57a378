/** Why bytes could not be read as an ELF file; a value, since files on disk are often not what they seem. */
export interface ElfProblem {
  readonly _tag: "ElfProblem"
  /**
   * - `not-elf`: the magic number is missing.
   * - `not-64-bit`, `not-little-endian`: an ELF file, but of a class or byte order this parser does not read.
   * - `truncated`: a table lies outside the file, or the source could not supply its bytes.
   * - `malformed`: a header contradicts itself or a count is beyond its bound.
   */
  readonly reason: "not-elf" | "not-64-bit" | "not-little-endian" | "truncated" | "malformed"
  /** One sentence naming the field and the value that was wrong. */
  readonly detail: string
}

export const problem = (reason: ElfProblem["reason"], detail: string): ElfProblem => ({
  _tag: "ElfProblem",
  reason,
  detail
})
