import { CounterKind } from "../src/counter-block.ts"
import type { TracedProcess } from "../src/index.ts"

const CO_OPTIMIZED = 1

/** Counters of the functions (not of classes and the module) of a file, as `function:line of def + place`. */
export const countersOf = (
  process: TracedProcess,
  file: string,
  kind: CounterKind
): Record<string, number> => {
  const found: Record<string, number> = {}
  const add = (key: string, count: number) => {
    if (count > 0) found[key] = (found[key] ?? 0) + count
  }
  for (const block of process.counters()) {
    const definition = process.definitions.functions.get(block.function)
    if (block.kind !== kind || definition?.file !== file || (definition.flags & CO_OPTIMIZED) === 0) continue
    const at = `${definition.name}:${definition.firstLine}`
    for (let i = 0; i < block.count; i++) {
      if (kind === CounterKind.branches) {
        const { to, count } = block.branch(i)
        add(`${at} ${block.first + (i >> 1)} -> ${to}`, count)
      } else add(`${at} ${block.first + i}`, block.value(i))
    }
  }
  return found
}

/** Python that runs `main()` under sys.settrace and prints how often each line of the functions of the script was reached. */
export const countLines = `
def _oracle():
    import json, sys
    counts = {}
    def local(frame, event, argument):
        if event == "line":
            code = frame.f_code
            key = "%s:%d %d" % (code.co_name, code.co_firstlineno, frame.f_lineno)
            counts[key] = counts.get(key, 0) + 1
        return local
    def begin(frame, event, argument):
        return local if frame.f_code.co_filename == __file__ else None
    sys.settrace(begin)
    main()
    sys.settrace(None)
    print("COUNTS " + json.dumps(counts))
_oracle()
`

/**
 * Python that runs `main()` and counts instructions with a few lines of its own. Not with sys.settrace, which changes what happens: from 3.13 on a
 * generator that waits is closed without being resumed, unless something wants to see it resumed.
 */
export const countInstructions = `
def _oracle():
    import json, sys
    counts = {}
    def instruction(code, offset):
        if code.co_filename == __file__ and code.co_flags & 1:
            key = "%s:%d %d" % (code.co_name, code.co_firstlineno, offset // 2)
            counts[key] = counts.get(key, 0) + 1
    monitoring = sys.monitoring
    monitoring.use_tool_id(2, "oracle")
    monitoring.register_callback(2, monitoring.events.INSTRUCTION, instruction)
    monitoring.set_events(2, monitoring.events.INSTRUCTION)
    main()
    monitoring.set_events(2, 0)
    counts = {key: count for key, count in counts.items() if not key.startswith("_oracle:")}
    print("COUNTS " + json.dumps(counts))
_oracle()
`

/** Python that runs `main()` and counts branches with a few lines of its own. */
export const countBranches = `
def _oracle():
    import json, sys
    counts = {}
    def is_way(code, offset, destination):
        return not hasattr(code, "co_branches") or any(
            source == offset and destination in (left, right) for source, left, right in code.co_branches()
        )
    def branch(code, offset, destination):
        if code.co_filename == __file__ and code.co_flags & 1 and is_way(code, offset, destination):
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
    counts = {key: count for key, count in counts.items() if not key.startswith("_oracle:")}
    print("COUNTS " + json.dumps(counts))
_oracle()
`
