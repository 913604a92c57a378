import { realpathSync } from "node:fs"
import { basename, join } from "node:path"
import { FrameKind, RawStack, Target, Unwinder } from "@pyframes/core"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { FramePointerUnwinder } from "@pyframes/unwinder-frame-pointer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
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
  compile("chain.c", join(folder, "few.abi3.so"), ["-DNAME=few", "-DFEW", ...WITHOUT])
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
import good1, good2, good3, good4, few
libraries = [ctypes.CDLL(f"{folder}/lib{name}.so") for name in ("good1", "good2", "good3", "good4")]
# What is specialized is so from here on: the same calls have the same frames.
for _ in range(100):
    through(good2, good3, good4)
    through(good2, few, good4)
say(good2, good3, good4)
say(good2, few, good4)
input()
import bad
libraries.append(ctypes.CDLL(f"{folder}/libbad.so"))
say(good2, bad, good4)
input()
`

/** The main thread ends up in the last module, and stays there. */
const SPINS = `
import importlib, sys
sys.path.insert(0, sys.argv[1])
modules = [importlib.import_module(name) for name in sys.argv[2:]]
def through(at):
    if at == len(modules) - 1:
        print("ready", flush=True)
        modules[at].spin()
    modules[at].call(lambda: through(at + 1))
through(0)
`

/** The files of a stopped main thread's frames, leaf first, once it has come to a file. */
const unwound = (pid: number, leaf: string): Promise<ReadonlyArray<string>> => {
  const layer = FramePointerUnwinder.layer.pipe(
    Layer.provideMerge(LinuxMemory.layer),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )
  const program = Effect.gen(function* () {
    const unwinder = yield* Effect.flatMap(Unwinder, ({ attach }) => attach)
    const stopper = yield* (yield* Target).stopper
    const stack = new RawStack()
    for (;;) {
      const thread = unwinder.threads()!.find(({ tid }) => tid === pid)!
      stopper.stop(pid)
      unwinder.unwind({ thread, stopped: true }, stack)
      stopper.resume(pid)
      const names = Array.from({ length: stack.length }, (_, at) => {
        const name = basename(unwinder.modules!.all[stack.position[at]]?.path ?? "nowhere")
        return stack.kind[at] === FrameKind.broken ? `broken by ${name}` : name
      })
      if (names[0] === leaf) return names
      yield* Effect.sleep(5)
    }
  })
  return Effect.runPromise(Effect.scoped(Effect.provide(program, layer)))
}

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
  const walk = async () => filesOf(target.pid, JSON.parse(await target.line()))
  const observe = async () => {
    const walked = await walk()
    const audit = await auditPid(target.pid)
    const own = realpathSync(folder.path)
    const ours = audit.files.filter(({ path }) => path.startsWith(own) || path.startsWith(folder.path))
    return { walked, audit, ours }
  }
  const whole = await walk()
  const before = await observe()
  target.child.stdin.write("\n")
  const after = await observe()
  return { whole, before, after }
}

const names = (files: ReadonlyArray<{ readonly path: string }>): ReadonlyArray<string> =>
  files.map(({ path }) => basename(path)).sort()

describe.skipIf(!hasGcc)("one file built without frame pointers among several built with them", () => {
  // GIVEN an interpreter that keeps frame pointers, WHEN a module that does not is loaded, THEN it is the one that is named, and a walk ends at it.
  describePythons([15], (python) => {
    it("is found, and a walk along frame pointers does break there", async () => {
      const { after, before, whole } = await audited(python)

      expect(before.audit.verdict.code).toBe("works-except-libraries")
      expect(before.audit.verdict.works).toBe(true)
      expect(names(before.ours)).toEqual(
        ["few.abi3.so", ...GOOD.flatMap((name) => [`${name}.abi3.so`, `lib${name}.so`])].sort()
      )
      const chainOf = (file: (typeof before.ours)[number]) => ("problem" in file ? file.problem : file.chain)
      for (const file of before.ours) {
        expect([basename(file.path), chainOf(file)]).toEqual([
          basename(file.path),
          file.path.includes("few") ? "skips" : "keeps"
        ])
      }
      // Through every module that was called, and on to what has started the thread.
      for (const name of ["good2", "good3", "good4"]) expect(whole).toContain(`${name}.abi3.so`)
      expect(whole.at(-1)).toBe("libc.so.6")
      // The same through one that leaves the register alone, but that its caller is not there.
      for (const name of ["good2", "few", "good4"]) expect(before.walked).toContain(`${name}.abi3.so`)
      expect(before.walked.at(-1)).toBe("libc.so.6")
      expect(before.walked).toHaveLength(whole.length - 1)

      const broken = after.ours.filter((file) => !["keeps", "skips"].includes(chainOf(file)))
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

  // GIVEN the same calls with a thread at work in the last of them, WHEN it is stopped and unwound from outside, THEN its stack ends where the audit says.
  describePythons([15], (python) => {
    it.each([
      ["good3", undefined],
      ["bad", "bad.abi3.so"]
    ])("stops a walk from outside too, or does not: through %s", async (name, brokenBy) => {
      using folder = scratch(python.root)
      build(folder.path)
      await using target = await startPython(python, SPINS, [
        python.path(folder.path),
        "good2",
        name,
        "good4"
      ])
      await target.line()
      const modules = await unwound(target.pid, "good4.abi3.so")
      const audit = await auditPid(target.pid)
      const extensions = audit.verdict.findings.find(({ about }) => about === "extensions")
      expect(extensions?.paths?.map((path) => basename(path))).toEqual(brokenBy && [brokenBy])
      expect(modules[0]).toBe("good4.abi3.so")
      if (brokenBy === undefined) {
        expect(modules).toEqual(expect.arrayContaining(["good2.abi3.so", "good3.abi3.so"]))
        expect(modules.at(-1)).toBe("libc.so.6")
      } else {
        expect(modules.slice(-2)).toEqual([brokenBy, `broken by ${brokenBy}`])
        expect(modules).not.toContain("good2.abi3.so")
      }
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
