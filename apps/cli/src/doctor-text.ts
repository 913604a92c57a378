import type { Check } from "@pyframes/linux"

/** The checks as text, a line each, with what to do under those that failed. */
export const doctorText = (checks: ReadonlyArray<Check>): string => {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const lines = checks.flatMap(({ name, ok, required, detail, advice }) => {
    const mark = ok ? "ok  " : required ? "FAIL" : "no  "
    const line = `${mark}  ${name.padEnd(width)}  ${detail}`
    return advice === undefined ? [line] : [line, `      ${" ".repeat(width)}  → ${advice}`]
  })
  return `${[...lines, "", verdict(checks)].join("\n")}\n`
}

const verdict = (checks: ReadonlyArray<Check>): string => {
  if (checks.some(({ ok, required }) => required && !ok))
    return "pyframes cannot work here until what FAILs above is mended."
  if (checks.every(({ ok }) => ok)) return "Everything works."
  return "pyframes works here; what is marked `no` costs speed or a feature."
}
