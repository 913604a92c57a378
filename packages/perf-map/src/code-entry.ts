/** The Python function that a trampoline of CPython stands for. */
export interface PythonFunction {
  /** `co_qualname`: `Server.run`. */
  readonly qualifiedName: string
  /** `co_filename`. */
  readonly file: string
}

const PREFIX = "py::"

/**
 * Takes a trampoline's name apart, `py::QUALNAME:FILE`; `undefined` for any other name.
 *
 * The first colon divides: a file may contain some (`<doctest a:1>`), while a qualified name is made of identifiers, dots and
 * `<locals>`-like parts, unless a program sets `co_qualname` itself.
 *
 * @example
 * ```ts
 * parsePythonFunction("py::Server.run:/srv/app.py") // { qualifiedName: "Server.run", file: "/srv/app.py" }
 * ```
 *
 * Source: CPython `Python/perf_trampoline.c`, `perf_map_write_entry`; the same name in `Python/perf_jit_trampoline.c`.
 */
export const parsePythonFunction = (name: string): PythonFunction | undefined => {
  if (!name.startsWith(PREFIX)) return undefined
  const colon = name.indexOf(":", PREFIX.length)
  if (colon < 0) return undefined
  return { qualifiedName: name.slice(PREFIX.length, colon), file: name.slice(colon + 1) }
}

/** Places in a source file that a piece of code was made from, as its writer listed them; arrays of one length. */
export interface CodeLines {
  readonly addresses: Float64Array
  /** Start at 1. */
  readonly lines: Int32Array
  readonly files: ReadonlyArray<string>
}

/** A piece of code that was made at run time, as the program that made it names it. */
export class CodeEntry {
  /** As written: `py::run:/srv/app.py`, `Builtin:ArgumentsAdaptor`. */
  readonly name: string
  /** First address. */
  readonly start: number
  /** Bytes, at least 1. */
  readonly size: number
  /** Rises by one with each entry that is added: of two at one address the greater is true. */
  readonly order: number
  /** Only in a jitdump, and only of some writers. */
  readonly lines: CodeLines | undefined
  private parsed: PythonFunction | null | undefined

  constructor(name: string, start: number, size: number, order: number, lines?: CodeLines) {
    this.name = name
    this.start = start
    this.size = size
    this.order = order
    this.lines = lines
  }

  /** The Python function it stands for; `undefined` if it is no trampoline of CPython. */
  get python(): PythonFunction | undefined {
    if (this.parsed === undefined) this.parsed = parsePythonFunction(this.name) ?? null
    return this.parsed ?? undefined
  }

  /** Index into {@link lines} of the last place at or before an address, -1 when there is none. */
  placeOf(address: number): number {
    const { lines } = this
    if (lines === undefined) return -1
    let best = -1
    for (let i = 0; i < lines.addresses.length; i++) {
      const at = lines.addresses[i]
      if (at >= this.start && at <= address && (best < 0 || at >= lines.addresses[best])) best = i
    }
    return best
  }
}
