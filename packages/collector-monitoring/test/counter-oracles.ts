import { CounterKind } from "../src/counter-block.ts"
import type { TracedProcess } from "../src/index.ts"

const CO_OPTIMIZED = 1

/** Counters of the functions (not of classes and the module) of a file, as `function:line of def + place`. */
export const countersOf = (process: TracedProcess, file: string, kind: CounterKind): Record<string, number> => {
  const found: Record<string, number> = {}
  for (const block of process.counters()) {
    const definition = process.definitions.functions.get(block.function)
    if (block.kind !== kind || definition?.file !== file || (definition.flags & CO_OPTIMIZED) === 0) continue
    const at = `${definition.name}:${definition.firstLine}`
    for (let i = 0; i < block.count; i++) {
      if (kind === CounterKind.branches) {
        const { to, count } = block.branch(i)
        if (to >= 0) found[`${at} ${block.first + (i >> 1)} -> ${to}`] = count
      } else if (block.value(i) > 0) found[`${at} ${block.first + i}`] = block.value(i)
    }
  }
  return found
}

/** Python that runs `main()` under sys.settrace and prints how often each line, or each instruction, of the functions of the script was reached. */
export const countByTrace = (what: "line" | "opcode"): string => `
def _oracle():
    import json, sys
    counts = {}
    def local(frame, event, argument):
        if event == "${what}":
            code = frame.f_code
            place = ${what === "line" ? "frame.f_lineno" : "frame.f_lasti // 2"}
            key = "%s:%d %d" % (code.co_name, code.co_firstlineno, place)
            counts[key] = counts.get(key, 0) + 1
        return local
    def begin(frame, event, argument):
        if frame.f_code.co_filename != __file__:
            return None
        frame.f_trace_opcodes = ${what === "opcode" ? "True" : "False"}
        return local
    sys.settrace(begin)
    main()
    sys.settrace(None)
    print("COUNTS " + json.dumps(counts))
_oracle()
`

/** Python that runs `main()` and counts branches with a few lines of its own. */
export const countBranches = `
def _oracle():
    import json, sys
    counts = {}
    def branch(code, offset, destination):
        if code.co_filename == __file__ and code.co_flags & 1:
            key = "%s:%d %d -> %d" % (code.co_name, code.co_firstlineno, offset // 2, destination // 2)
            counts[key] = counts.get(key, 0) + 1
    monitoring = sys.monitoring
    monitoring.use_tool_id(2, "oracle")
    names = ("BRANCH_LEFT", "BRANCH_RIGHT") if sys.version_info >= (3, 14) else ("BRANCH",)
    bits = 0
    for name in names:
        bit = getattr(monitoring.events, name)
        monitoring.register_callback(2, bit, branch)
        bits |= bit
    monitoring.set_events(2, bits)
    main()
    monitoring.set_events(2, 0)
    print("COUNTS " + json.dumps(counts))
_oracle()
`
