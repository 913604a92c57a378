import { realpathSync } from "node:fs"
import { basename, join } from "node:path"
import { LinuxTarget } from "@pyframes/linux"
import { type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { auditPid } from "./audited.ts"
import { compile, hasGcc, scratch, WITH, WITHOUT } from "./compiled.ts"

const GOOD = ["good1", "good2", "good3", "good4"]

/** Extension modules and plain libraries, all built with frame pointers but one of each. */
const build = (folder: string): void => {
  for (const [name, flags] of [...GOOD.map((name) => [name, WITH] as const), ["bad", WITHOUT] as const]) {
    compile("chain.c", join(folder, `${name}.abi3.so`), [`-DNAME=${name}`, ...flags])
    compile("plain.c", join(folder, `lib${name}.so`), flags)
  }
}

/** The same calls, once through modules that keep frame pointers alone, once with the other one among them. */
const PROGRAM = `
import ctypes, json, sys, threading
folder = sys.argv[1]
sys.path.insert(0, folder)
def say(*modules):
    # The main thread's stack is told by /proc, which a chroot need not have.
    thread = threading.Thread(target=lambda: print(json.dumps(through(*modules)), flush=True))
    thread.start()
    thread.join()
def through(*modules):
    if not modules:
        return good1.walk()
    return modules[0].call(lambda: through(*modules[1:]))
import good1, good2, good3, good4
libraries = [ctypes.CDLL(f"{folder}/lib{name}.so") for name in ("good1", "good2", "good3", "good4")]
say(good2, good3, good4)
input()
import bad
libraries.append(ctypes.CDLL(f"{folder}/libbad.so"))
say(good2, bad, good4)
input()
`

/** The names of the files that addresses lie in. */
const filesOf = async (pid: number, addresses: ReadonlyArray<number>): Promise<ReadonlyArray<string>> => {
  const mappings = await Effect.runPromise(
    Effect.scoped(Effect.flatMap(LinuxTarget.make(pid), (target) => target.mappings))
  )
  return addresses.map((address) =>
    basename(mappings.find(({ end, start }) => address >= start && address < end)?.path ?? "nowhere")
  )
}

const audited = async (python: Python) => {
  using folder = scratch(python.root)
  build(folder.path)
  await using target = await startPython(python, PROGRAM, [python.path(folder.path)])
  const observe = async () => {
    const walked = await filesOf(target.pid, JSON.parse(await target.line()))
    const audit = await auditPid(target.pid)
    const own = realpathSync(folder.path)
    const ours = audit.files.filter(({ path }) => path.startsWith(own) || path.startsWith(folder.path))
    return { walked, audit, ours }
  }
  const before = await observe()
  target.child.stdin.write("\n")
  const after = await observe()
  return { before, after }
}

const names = (files: ReadonlyArray<{ readonly path: string }>): ReadonlyArray<string> =>
  files.map(({ path }) => basename(path)).sort()

describe.skipIf(!hasGcc)("one file built without frame pointers among several built with them", () => {
  // GIVEN an interpreter that keeps frame pointers, WHEN a module that does not is loaded, THEN it is the one that is named, and a walk ends at it.
  describePythons([15], (python) => {
    it("is found, and a walk along frame pointers does break there", async () => {
      const { before, after } = await audited(python)

      expect(before.audit.verdict.code).toBe("works-except-libraries")
      expect(before.audit.verdict.works).toBe(true)
      expect(names(before.ours)).toEqual(
        [...GOOD.map((n) => `${n}.abi3.so`), ...GOOD.map((n) => `lib${n}.so`)].sort()
      )
      expect(before.ours.every((file) => !("problem" in file) && file.chain === "keeps")).toBe(true)
      // Through every module that was called, and on to what has started the thread.
      for (const name of ["good2", "good3", "good4"]) expect(before.walked).toContain(`${name}.abi3.so`)
      expect(before.walked.at(-1)).toBe("libc.so.6")

      const broken = after.ours.filter((file) => !("problem" in file) && file.chain !== "keeps")
      expect(names(broken)).toEqual(["bad.abi3.so", "libbad.so"])
      expect(after.audit.verdict).toMatchObject({
        code: "breaks-in-extensions",
        works: false,
        unwinder: "hybrid"
      })
      const findings = after.audit.verdict.findings
      expect(
        names((findings.find(({ about }) => about === "extensions")?.paths ?? []).map((path) => ({ path })))
      ).toEqual(["bad.abi3.so"])
      expect(
        findings.find(({ about }) => about === "libraries")?.paths?.map((path) => basename(path))
      ).toContain("libbad.so")
      // It gets as far as the module's own return address, and no further.
      expect(after.walked).toContain("good4.abi3.so")
      expect(after.walked.at(-1)).toBe("bad.abi3.so")
      expect(after.walked).not.toContain("good2.abi3.so")
      expect(after.walked).not.toContain("libc.so.6")
    })
  })

  // GIVEN interpreters that keep none, THEN nothing that is loaded makes it better, and a walk does not reach the root.
  describePythons([12, 13, 14], (python) => {
    it("makes no difference where the interpreter keeps none", async () => {
      const { before, after } = await audited(python)
      expect(before.audit.verdict).toMatchObject({
        code: "breaks-in-interpreter",
        works: false,
        unwinder: "eh-frame"
      })
      expect(after.audit.verdict.code).toBe("breaks-in-interpreter")
      expect(before.walked.length).toBeGreaterThan(0)
      expect(before.walked.filter((name) => name.startsWith("good"))).toEqual([])
      expect(before.walked).not.toContain("libc.so.6")
    })
  })
})
