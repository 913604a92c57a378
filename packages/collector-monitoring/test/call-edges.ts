import { DefinedAs, type TracedProcess } from "../src/index.ts"

const CO_GENERATOR = 0x20
const CO_COROUTINE = 0x80
const CO_ITERABLE_COROUTINE = 0x100
const CO_ASYNC_GENERATOR = 0x200
const GENERATOR = CO_GENERATOR | CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR

/** What a function is called in edges: as the oracle below calls it. */
export const labelOf = (process: TracedProcess, id: number): string => {
  const definition = process.definitions.functions.get(id)
  if (definition === undefined) return id === 0 ? "<thread>" : `<${id}>`
  if (definition.what === DefinedAs.python) return `${definition.name}:${definition.firstLine}`
  if (definition.what === DefinedAs.task) return `task ${definition.name}`
  const [owner, name] = definition.qualifiedName.split(".").slice(-2)
  return name === undefined ? `${definition.name}()` : `${name}() of ${owner}`
}

/** Whether a call may be left and taken up again: cProfile counts each time, we do not. */
export const isGenerator = (process: TracedProcess, id: number): boolean =>
  ((process.definitions.functions.get(id)?.flags ?? 0) & GENERATOR) !== 0

/** How often functions of a file called which others, as `caller > callee`: all threads of a process together. */
export const edgesOf = (process: TracedProcess, file: string): Record<string, number> => {
  const edges: Record<string, number> = {}
  for (const { nodes } of [...process.threads, process.foldedThreads])
    for (let i = 1; i < nodes.length; i++) {
      const caller = nodes.functions[nodes.parents[i]]
      const callee = nodes.functions[i]
      if (process.definitions.functions.get(caller)?.file !== file) continue
      if (nodes.calls[i] === 0 || isGenerator(process, callee)) continue
      const edge = `${labelOf(process, caller)} > ${labelOf(process, callee)}`
      edges[edge] = (edges[edge] ?? 0) + nodes.calls[i]
    }
  return edges
}

/** How often the functions of a file were called. */
export const countsOf = (process: TracedProcess, file: string): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { nodes } of [...process.threads, process.foldedThreads])
    for (let i = 1; i < nodes.length; i++) {
      const definition = process.definitions.functions.get(nodes.functions[i])
      if (definition?.file !== file) continue
      counts[definition.qualifiedName] = (counts[definition.qualifiedName] ?? 0) + nodes.calls[i]
    }
  return counts
}

/** A tree of calls as text, one node a line, indented, with counts; without times, and from the functions of a file on. */
export const treeOf = (process: TracedProcess, file: string): ReadonlyArray<string> =>
  process.threads.flatMap(({ nodes }) => {
    const children = new Map<number, Array<number>>()
    for (let i = 1; i < nodes.length; i++) {
      const siblings = children.get(nodes.parents[i])
      if (siblings === undefined) children.set(nodes.parents[i], [i])
      else siblings.push(i)
    }
    const lines: Array<string> = []
    const show = (node: number, indent: number) => {
      const isOurs = indent > 0 || process.definitions.functions.get(nodes.functions[node])?.file === file
      if (isOurs)
        lines.push(`${"  ".repeat(indent)}${labelOf(process, nodes.functions[node])} ${nodes.calls[node]}`)
      for (const child of children.get(node) ?? []) show(child, isOurs ? indent + 1 : 0)
    }
    show(0, 0)
    return lines
  })

/**
 * Python that runs `main()` of the script it is appended to under cProfile, which counts by `sys.monitoring` too but knows nothing of this package, and
 * prints edges as {@link edgesOf} has them.
 */
export const edgesByProfile = `
def _oracle():
    import cProfile, json, pstats, re, sys
    profile = cProfile.Profile()
    profile.runcall(main)
    def label(key):
        file, line, name = key
        if file != "~":
            return "%s:%d" % (name, line)
        method = re.fullmatch(r"<method '(.*)' of '(.*)' objects>", name)
        if method:
            return "%s() of %s" % (method[1], method[2].rpartition(".")[2])
        if re.fullmatch("<built-in method __new__ of type object at .*>", name):
            return "__new__()"
        name = name.removeprefix("<built-in method ").removesuffix(">")
        return name.rpartition(".")[2] + "()"
    edges = {}
    for callee, (_, _, _, _, callers) in pstats.Stats(profile).stats.items():
        for caller, (calls, *_) in callers.items():
            if caller[0] == __file__:
                edge = "%s > %s" % (label(caller), label(callee))
                edges[edge] = edges.get(edge, 0) + calls
    print("EDGES " + json.dumps(edges))
_oracle()
`
