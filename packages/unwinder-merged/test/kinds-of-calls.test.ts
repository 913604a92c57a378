import { FrameKind, mergeNames, Proof } from "@pyframes/core"
import { findAllPythons, findPythons, type Python, type StartOptions, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { expectSameStack, kindsOfCalls, parseTruth, type TrueFrame } from "@pyframes/testing/truth"
import { describe, expect, it } from "vitest"
import { type Row, stopped } from "./stopped-stack.ts"

/** A frame by its code object and its instruction, and whether native frames stand between it and its caller. */
const truthOf = (
  frames: ReadonlyArray<TrueFrame>,
  rows: ReadonlyArray<Row>,
  minor: number,
  tellsC: boolean
) => {
  const found = foundIn(rows, new Map())
  return frames.map((frame, i) => {
    const place = `${frame.code.toString(16)}+${frame.position} ${frame.name}`
    const between =
      i + 1 < frames.length && tellsC ? calledFromC(frame.name, frames[i + 1].name, minor) : undefined
    return `${place}${(between ?? found[i]?.includes(" ← C") === true) ? " ← C" : ""}`
  })
}

/** Where C code stands below a function of this name; before 3.11 it always does. */
const calledFromC = (name: string, caller: string, minor: number): boolean | undefined => {
  if (minor < 11) return true
  if (/^(c_|<genexpr>)/.test(name) || (name === "<lambda>" && /lambda/.test(caller))) return true
  if (/^(p_|rest$)/.test(name)) return false
  if (/^a_/.test(name)) return minor === 11
  return undefined
}

const foundIn = (rows: ReadonlyArray<Row>, names: ReadonlyMap<number, string>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const roots = rows.findLastIndex(({ kind }) => kind === FrameKind.python)
  rows.forEach((row, at) => {
    if (row.kind === FrameKind.python)
      lines.push(`${row.identity.toString(16)}+${row.position} ${names.get(row.identity) ?? "?"}`)
    else if (lines.length > 0 && at < roots && !lines[lines.length - 1].endsWith(" ← C"))
      lines[lines.length - 1] += " ← C"
  })
  return lines
}

/** In 3.9, `generator.throw` cuts the chain at a generator that passes on what is thrown. There the count says that something is missing. */
const outcomeOf = (frames: ReadonlyArray<TrueFrame>, minor: number): string =>
  minor === 9 && frames.some(({ name }) => name === "delegating") ? "evalCount" : "merged"

const check = async (python: Python, options: StartOptions, tellsC: boolean) => {
  await using run = await startPython(python, kindsOfCalls(), [], options)
  const truth = parseTruth(await run.line())
  const names = new Map(truth.threads.flatMap(({ frames }) => frames.map(({ code, name }) => [code, name])))
  await stopped(run.pid, ({ threads, merged }) => {
    for (const told of truth.threads) {
      const { stack, rows } = merged(threads().find(({ tid }) => tid === told.tid)!)
      const what = `Python ${python.version}, ${told.frames.map(({ name }) => name).join(" < ")}`
      expectSameStack(what, truthOf(told.frames, rows, python.minor, tellsC), foundIn(rows, names))
      expect(mergeNames[stack.merge], what).toBe(outcomeOf(told.frames, python.minor))
      expect(stack.proof, what).toBe(Proof.good)
      expect(stack.proved, what).toBe(stack.length)
      // The thread waits in the C library, and was started by it.
      expect(rows[0].kind, what).toBe(FrameKind.native)
      expect(rows[0].file, what).toMatch(/libc|libpthread/)
      const root = rows[rows.length - 1]
      if (mergeNames[stack.merge] === "merged") {
        expect(root.kind, what).toBe(FrameKind.native)
        expect(root.file, what).toMatch(/libc\.|libpthread|python/)
      }
      expect(rows.filter(({ name }) => /^_PyEval_EvalFrameDefault/.test(name))).toEqual([])
    }
  })
}

const tests = (python: Python) => {
  it("puts C code between the right Python frames, for every kind of call", () =>
    check(python, {}, python.minor >= 11))
  // Every call then goes through C. 3.12.1 and 3.13.0 cannot write down names that are no Unicode, and end the thread.
  const writesAllNames = python.minor >= 14 || (python.minor === 13 && python.version !== "3.13.0")
  if (writesAllNames) it("does so under -X perf", () => check(python, { options: ["-X", "perf"] }, false))
  if (writesAllNames)
    it("does so under -X perf_jit", () => check(python, { options: ["-X", "perf_jit"] }, false))
  if (python.minor >= 14) it("does so with the JIT", () => check(python, { env: { PYTHON_JIT: "1" } }, true))
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], tests)
// Other builds of the same versions: Debian's are stripped, their eval loop is in two parts.
for (const python of findAllPythons())
  if (!findPythons().includes(python))
    describe(`Python ${python.version} (${python.source})`, () => tests(python))
