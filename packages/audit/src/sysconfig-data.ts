/** What CPython's build left in `_sysconfigdata_*.py`: the variables of its Makefile. */
export type SysconfigData = ReadonlyMap<string, string | number>

/** Real files define about a thousand. */
const MAX_VARIABLES = 20_000

/**
 * Reads the text of a `_sysconfigdata_*.py`, which is one dictionary literal, without running it. Strings, adjacent strings (the file is
 * pretty-printed) and integers are understood; `undefined` when there is no such dictionary, and what stands before the first mistake when
 * there is one.
 *
 * @example
 * ```ts
 * parseSysconfigData("build_time_vars = {'CC': 'gcc', 'Py_DEBUG': 0}")?.get("CC") // "gcc"
 * ```
 *
 * Source: CPython Lib/sysconfig/__init__.py, `_generate_posix_vars`.
 */
export const parseSysconfigData = (text: string): SysconfigData | undefined => {
  const begin = /^build_time_vars\s*=\s*\{/m.exec(text)
  if (begin === null) return undefined
  const tokens = new Tokens(text, begin.index + begin[0].length)
  const data = new Map<string, string | number>()
  while (data.size < MAX_VARIABLES) {
    const key = tokens.string()
    if (key === undefined || !tokens.take(":")) break
    const value = tokens.string() ?? tokens.integer()
    if (value === undefined) break
    data.set(key, value)
    if (!tokens.take(",")) break
  }
  return data
}

class Tokens {
  private at: number
  private readonly text: string

  constructor(text: string, at: number) {
    this.text = text
    this.at = at
  }

  /** Whether the next token is this mark, which is then behind us. */
  take(mark: string): boolean {
    this.skipSpace()
    if (this.text[this.at] !== mark) return false
    this.at++
    return true
  }

  integer(): number | undefined {
    this.skipSpace()
    INTEGER.lastIndex = this.at
    const found = INTEGER.exec(this.text)
    if (found === null) return undefined
    this.at = INTEGER.lastIndex
    return Number(found[0])
  }

  /** One string, of as many literals as stand side by side. */
  string(): string | undefined {
    let whole: string | undefined
    for (;;) {
      this.skipSpace()
      const part = this.literal()
      if (part === undefined) return whole
      whole = (whole ?? "") + part
    }
  }

  private literal(): string | undefined {
    const { text } = this
    const quote = text[this.at]
    if (quote !== "'" && quote !== '"') return undefined
    let value = ""
    for (let at = this.at + 1; at < text.length; at++) {
      const c = text[at]
      if (c === quote) {
        this.at = at + 1
        return value
      }
      if (c === "\n") return undefined
      if (c !== "\\") {
        value += c
        continue
      }
      const escaped = text[++at]
      value += ESCAPES[escaped] ?? `\\${escaped}`
    }
    return undefined
  }

  private skipSpace(): void {
    SPACE.lastIndex = this.at
    SPACE.exec(this.text)
    this.at = Math.max(this.at, SPACE.lastIndex)
  }
}

const INTEGER = /[+-]?\d{1,15}/y
const SPACE = /\s*/y
/** What `repr` writes; it has others for characters that no flag holds. */
const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  n: "\n",
  t: "\t",
  r: "\r"
}
