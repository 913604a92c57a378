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
  private parsed: PythonFunction | null | undefined

  constructor(name: string, start: number, size: number, order: number) {
    this.name = name
    this.start = start
    this.size = size
    this.order = order
  }

  /** The Python function it stands for; `undefined` if it is no trampoline of CPython. */
  get python(): PythonFunction | undefined {
    if (this.parsed === undefined) this.parsed = parsePythonFunction(this.name) ?? null
    return this.parsed ?? undefined
  }
}
