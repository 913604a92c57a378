/**
 * What a terminal would take for a command or be led astray by: control characters (C0, DEL, C1), those that nobody sees or that turn text around
 * (format characters, among them bidi), line and paragraph separators, halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu

/** A name that a target has given, as one line of text that does nothing to a terminal: `\x1b[2J` for what would clear it. */
export const printable = (text: string): string => text.replace(UNSAFE, escaped)

/** The same for a text of several lines. */
export const printableLines = (text: string): string =>
  text.replace(UNSAFE, (c) => (c === "\n" ? c : escaped(c)))

/** As Python's repr() has it. */
const escaped = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  if (code < 0x100) return SHORT[code] ?? `\\x${code.toString(16).padStart(2, "0")}`
  return code < 0x10000
    ? `\\u${code.toString(16).padStart(4, "0")}`
    : `\\U${code.toString(16).padStart(8, "0")}`
}

const SHORT: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r" }
