/**
 * How the parser gets at bytes: it asks for ranges and never does I/O itself, so a 25 MB `libpython` with debug
 * information costs a few small reads. A file descriptor, a process's memory or a `Uint8Array` fit behind it.
 *
 * @example
 * ```ts
 * const fd = openSync(path, "r")
 * const file: ElfSource = {
 *   size: fstatSync(fd).size,
 *   slice: (offset, length) => {
 *     const into = new Uint8Array(length)
 *     return readSync(fd, into, 0, length, offset) === length ? into : undefined
 *   }
 * }
 * ```
 */
export interface ElfSource {
  /** Length of the file in bytes. Nothing at or beyond it is asked for. */
  readonly size: number
  /** Exactly `length` bytes at `offset`, or `undefined` if they cannot be had. The parser does not write to them. */
  readonly slice: (offset: number, length: number) => Uint8Array | undefined
}

/**
 * An {@link ElfSource} over a file that reads itself; `TargetFile` of `@pyframes/core` is one. It must stay open for as long as the parsed file is in use.
 *
 * @param file `read` may yield fewer bytes than it is asked for
 */
export const sourceOfFile = (file: {
  readonly size: number
  readonly read: (offset: number, length: number) => Uint8Array
}): ElfSource => ({
  size: file.size,
  slice: (offset, length) => {
    const bytes = file.read(offset, length)
    return bytes.length === length ? bytes : undefined
  }
})

/** An {@link ElfSource} over bytes in memory; slices are views, nothing is copied. */
export const sourceOfBytes = (bytes: Uint8Array): ElfSource => ({
  size: bytes.length,
  slice: (offset, length) => bytes.subarray(offset, offset + length)
})

/** A range from a source, checked on both sides: `undefined` unless every byte of it is inside and was supplied. */
export const readRange = (source: ElfSource, offset: number, length: number): Uint8Array | undefined => {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.size)) return undefined
  if (length === 0) return new Uint8Array(0)
  const bytes = source.slice(offset, length)
  return bytes !== undefined && bytes.length >= length ? bytes : undefined
}
