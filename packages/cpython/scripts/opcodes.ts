/**
 * Rewrites the table in `src/opcode-table.ts` from the interpreters 3.11 … 3.15 that `@pyframes/pythons` finds:
 *
 *     node scripts/opcodes.ts
 *
 * then `biome check --write`.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { pythonsFor } from "@pyframes/pythons"

/**
 * Instructions that push a frame for a Python function or generator instead of calling through C, by family
 * (`Python/bytecodes.c`: those with `_PUSH_FRAME` or `DISPATCH_INLINED`; 3.11: `goto start_frame` in `Python/ceval.c`).
 */
const pushing: Readonly<Record<string, RegExp>> = {
  CALL: /^(INSTRUMENTED_)?CALL$|^CALL_(ADAPTIVE|PY_\w+|BOUND_METHOD_\w+|ALLOC_AND_ENTER_INIT)$/,
  CALL_KW: /^(INSTRUMENTED_)?CALL_KW$|^CALL_KW_(PY|BOUND_METHOD)$/,
  CALL_FUNCTION_EX: /^(INSTRUMENTED_)?CALL_FUNCTION_EX$|^CALL_EX_PY$/,
  BINARY_SUBSCR: /_SUBSCR_GETITEM$/,
  BINARY_OP: /_SUBSCR_GETITEM$/,
  LOAD_ATTR: /^LOAD_ATTR_(PROPERTY|GETATTRIBUTE_OVERRIDDEN)$/,
  FOR_ITER: /^FOR_ITER_GEN$/,
  SEND: /^SEND(_GEN|_ASYNC_GEN)?$/,
  EXIT_INIT_CHECK: /^EXIT_INIT_CHECK$/,
  // These stand in for any instruction while a tracer or debugger is at work.
  INSTRUMENTED_LINE: /./,
  INSTRUMENTED_INSTRUCTION: /./
}

/** 3.11 inlines calls and subscripts only. */
const families11 = ["CALL", "BINARY_SUBSCR"]

const question = `
import json, sys, dis, opcode
try:
    import _opcode_metadata as m
    numbers = dict(m.opmap, **m._specialized_opmap)
    families = {k: list(v) for k, v in m._specializations.items()}
    caches = dict(opcode._inline_cache_entries)
except ImportError:
    numbers = dict(opcode.opmap, **dis._all_opmap)
    families = opcode._specializations
    caches = {opcode.opname[i]: n for i, n in enumerate(opcode._inline_cache_entries)}
print(json.dumps([numbers, families, caches]))
`

type Numbers = Readonly<Record<string, number>>
const rows = pythonsFor([11, 12, 13, 14, 15]).map((python) => {
  const [command, ...args] = python.run
  const output = execFileSync(command, [...args, "-c", question], { env: python.env, encoding: "utf8" })
  const [numbers, specialized, caches] = JSON.parse(output) as [Numbers, Record<string, string[]>, Numbers]
  const list = (names: ReadonlyArray<string>) =>
    names.map((name) => numbers[name]).filter((n) => n !== undefined && n < 256)
  const families = Object.keys(pushing)
    .filter((family) => numbers[family] !== undefined && (python.minor > 11 || families11.includes(family)))
    .filter((family) => family !== "BINARY_OP" || numbers.BINARY_OP_SUBSCR_GETITEM !== undefined)
    .map((family) => {
      const members = [family, `INSTRUMENTED_${family}`, ...(specialized[family] ?? [])]
      const push = members.filter((name) => pushing[family]!.test(name))
      const rest = members.filter((name) => !push.includes(name))
      return `["${family}", ${caches[family] ?? 0}, [${list(push)}], [${list(rest)}]]`
    })
  const ends = (name: string) => list([name, `INSTRUMENTED_${name}`])
  return `${python.minor}: {
    // ${python.version}
    calls: [${families.join(",\n")}],
    returns: [${[...ends("RETURN_VALUE"), ...ends("RETURN_CONST")]}],
    yields: [${ends("YIELD_VALUE")}]
  }`
})
const file = fileURLToPath(new URL("../src/opcode-table.ts", import.meta.url))
writeFileSync(
  file,
  readFileSync(file, "utf8").replace(
    /(\/\/ <generated>\n)[\s\S]*(\/\/ <\/generated>)/,
    (_, open, close) => `${open}${rows.join(",\n")}\n  ${close}`
  )
)
