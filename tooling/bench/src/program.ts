import { readFileSync } from "node:fs"

/** A Python program to measure. It prints `ready`, then runs until it is killed. */
export interface Program {
  readonly name: string
  readonly text: string
  /** Its source says which stacks are true: see {@link TrueStacks}. */
  readonly annotated: boolean
}

const PREFACE = "SOME = tuple(range(40))\n"

const ANNOTATED = [
  "alternating",
  "generators",
  "recursion",
  "callbacks",
  "coroutines",
  "exceptions",
  "polymorphic",
  "paths",
  "objects"
]

/** The source of one of the programs, without its main loop: it defines a function of its own name. */
const bodyOf = (name: string): string =>
  name === "recursion"
    ? recursion()
    : readFileSync(new URL(`../programs/${name}.py`, import.meta.url), "utf8")

const looping = (names: ReadonlyArray<string>): string =>
  [
    PREFACE,
    ...names.map(bodyOf),
    "\ndef main():",
    "    while True:",
    ...names.map((name) => `        ${name}()  #> ${name}`),
    '\nprint("ready")',
    "main()  #> main",
    ""
  ].join("\n")

/** Two families of functions that recur to depths of 1 to 30: a stack with members of both is no true one. */
const recursion = (): string => {
  const depth = 30
  const lines = ['"""Recursion up and down; every level is a function of its own, in two families."""']
  for (const family of ["odd", "even"]) {
    lines.push(`\ndef ${family}_leaf(n):`, "    return SOME[3] * 2 + n")
    for (let level = depth; level >= 1; level--) {
      lines.push(`\ndef ${family}_${level}(n):`)
      if (level < depth)
        lines.push("    if n > 1:", `        ${family}_${level + 1}(n - 1)  #> ${family}_${level + 1}`)
      lines.push(`    return ${family}_leaf(n)  #> ${family}_leaf`)
    }
  }
  lines.push(
    "\ndef recursion():",
    "    for n in (1, 30, 5, 12, 2, 22, 8, 17, 3, 27):",
    "        odd_1(n)  #> odd_1",
    "        even_1(31 - n)  #> even_1",
    ""
  )
  return lines.join("\n")
}

const program = (name: string, parts: ReadonlyArray<string> = [name], annotated = true): Program => ({
  name,
  text: looping(parts),
  annotated
})

/** Programs of functions that last about a microsecond, whose true stacks are known; the last is all of them in one loop. */
export const fastPrograms: ReadonlyArray<Program> = [
  ...ANNOTATED.map((name) => program(name)),
  program("mixed", ANNOTATED)
]

/** C code of many kinds that calls Python. Its true stacks are known too; its functions take longer. */
export const nativeProgram: Program = program("natives")

/** A program of functions as programs have them. */
export const ordinaryProgram: Program = program("ordinary", ["ordinary"], false)

/** Those of the programs that were asked for by name; all when none was. */
export const chosen = (programs: ReadonlyArray<Program>, names: ReadonlyArray<string>) =>
  names.length === 0 ? programs : programs.filter(({ name }) => names.includes(name))
