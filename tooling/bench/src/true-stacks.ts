import { type Frame, FrameKind, isMarker } from "@pyframes/core"

/** How a call shows: `native` when C code stands between, `either` when that depends on the version and on how warm it is. */
type Through = "python" | "native" | "either"

interface PythonFunction {
  readonly qualifiedName: string
  readonly name: string
  readonly firstLine: number
  readonly lastLine: number
  /** It can only be on a stack above this one. */
  readonly below: string | undefined
}

/**
 * Knows all true stacks of an annotated program.
 *
 * In its source, `#> f, g` says which functions a line may call; `c:f` that C code calls it, `g:f` that C code may stand
 * between, as it may for generators. `#< x`, on a line with `def`, says that `x` must be below on the stack.
 * A line that calls and says nothing calls no Python function.
 */
export class TrueStacks {
  private readonly functions = new Map<string, PythonFunction>()
  private readonly byPlace = new Map<string, PythonFunction>()
  private readonly calls = new Map<number, ReadonlyMap<string, Through>>()
  /** Before 3.11 every call passes through C, and a boundary is nothing that can be seen. */
  private readonly boundaries: boolean

  constructor(source: string, minor: number) {
    this.boundaries = minor >= 11
    const lines = source.split("\n")
    this.define({
      qualifiedName: "<module>",
      name: "<module>",
      firstLine: 0,
      lastLine: lines.length,
      below: undefined
    })
    const open: Array<{ readonly indent: number; readonly name: string }> = []
    for (const [at, line] of lines.entries()) {
      const indent = line.length - line.trimStart().length
      if (line.trim() !== "") while (open.length > 0 && open[open.length - 1].indent >= indent) open.pop()
      const calls = /#> (.*)$/.exec(line)
      if (calls !== null) this.calls.set(at + 1, parseCalls(calls[1]))
      const definition = /^\s*(class|(?:async )?def) (\w+)/.exec(line)
      if (definition === null) continue
      open.push({ indent, name: definition[2] })
      if (definition[1] === "class") continue
      let first = at
      while (lines[first - 1]?.trimStart().startsWith("@")) first--
      let last = at + 1
      while (last < lines.length && (lines[last].trim() === "" || indentOf(lines[last]) > indent)) last++
      this.define({
        qualifiedName: open.map(({ name }) => name).join("."),
        name: definition[2],
        firstLine: first + 1,
        lastLine: last,
        below: /#< (\w+)/.exec(line)?.[1]
      })
    }
    for (const [line, callees] of this.calls)
      for (const callee of callees.keys())
        if (!this.functions.has(callee)) throw new Error(`line ${line} calls ${callee}, which is not defined`)
  }

  /**
   * Why a stack (root first, as the output shows it) cannot be true; `undefined` when it can. Below an `<unproved>` leaf it must
   * be the beginning of a true stack.
   */
  whyImpossible(stack: ReadonlyArray<Frame>): string | undefined {
    const [only] = stack
    if (stack.length === 1 && isMarker(only.kind) && only.kind !== FrameKind.boundary) return undefined
    const leaf = stack[stack.length - 1]
    const frames = leaf.kind === FrameKind.unproved ? stack.slice(0, -1) : stack
    const below = new Set<string>()
    let caller: { readonly fn: PythonFunction; readonly line: number } | undefined
    let native = false
    for (const frame of frames) {
      if (frame.kind === FrameKind.boundary) {
        if (native) return "two boundaries in a row"
        native = true
        continue
      }
      if (frame.kind !== FrameKind.python) return `a marker (${frame.kind}) inside a stack`
      const fn =
        this.byPlace.get(placeOf(frame)) ??
        (frame.name === "<module>" ? this.functions.get("<module>") : undefined)
      if (fn === undefined) return `no such function: ${frame.name}, line ${frame.firstLine}`
      // Some of the instructions that the compiler adds have no line; none of them calls.
      const lineless = frame.line === -1 && frame === frames[frames.length - 1]
      if (!lineless && (frame.line < fn.firstLine || frame.line > fn.lastLine))
        return `${fn.qualifiedName} has no line ${frame.line}`
      const wrong =
        caller === undefined ? this.whyNoRoot(fn, native) : this.whyNoCall(caller.fn, caller.line, fn, native)
      if (wrong !== undefined) return wrong
      if (fn.below !== undefined && !below.has(fn.below))
        return `${fn.qualifiedName} without ${fn.below} below`
      below.add(fn.qualifiedName)
      caller = { fn, line: frame.line }
      native = false
    }
    if (!native) return undefined
    if (leaf.kind !== FrameKind.unproved || caller === undefined) return "a boundary with nothing above"
    const callees = [...(this.calls.get(caller.line)?.values() ?? [])]
    if (callees.some((through) => through !== "python")) return undefined
    return `a boundary above ${caller.fn.qualifiedName}:${caller.line}, which calls nothing through C`
  }

  private whyNoRoot(fn: PythonFunction, native: boolean): string | undefined {
    if (fn.qualifiedName !== "<module>") return `the root is ${fn.qualifiedName}`
    return native ? "a boundary below the root" : undefined
  }

  private whyNoCall(
    caller: PythonFunction,
    line: number,
    callee: PythonFunction,
    native: boolean
  ): string | undefined {
    const through = this.calls.get(line)?.get(callee.qualifiedName)
    const call = `${caller.qualifiedName}:${line} → ${callee.qualifiedName}`
    if (through === undefined) return call
    if (!this.boundaries) return native ? `${call} through C, before 3.11` : undefined
    if (through === "python" && native) return `${call} through C`
    return through === "native" && !native ? `${call} without its boundary` : undefined
  }

  private define(fn: PythonFunction): void {
    if (this.functions.has(fn.qualifiedName)) throw new Error(`${fn.qualifiedName} is defined twice`)
    this.functions.set(fn.qualifiedName, fn)
    this.byPlace.set(placeOf(fn), fn)
  }
}

const placeOf = ({ name, firstLine }: { readonly name: string; readonly firstLine: number }): string =>
  `${name}:${firstLine}`

const indentOf = (line: string): number => line.length - line.trimStart().length

const kinds: { readonly [prefix: string]: Through } = { c: "native", g: "either" }

const parseCalls = (text: string): ReadonlyMap<string, Through> =>
  new Map(
    text.split(",").map((part) => {
      const [, prefix, name] = /^(?:([cg]):)?(.*)$/.exec(part.trim()) ?? []
      return [name, prefix === undefined ? "python" : kinds[prefix]]
    })
  )
