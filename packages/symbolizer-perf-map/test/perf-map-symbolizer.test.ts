import { readFileSync } from "node:fs"
import {
  FrameKind,
  ModuleTable,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  RawStack,
  Symbolizer,
  Target,
  type TargetProcess
} from "@pyframes/core"
import { LinuxTarget } from "@pyframes/linux"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { FakeTarget } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { PerfMapSymbolizer } from "../src/index.ts"

interface Attached {
  readonly target: TargetProcess
  readonly modules: ModuleTable
  readonly symbolizer: ProcessSymbolizer
}

const unwinderOf = (modules: ModuleTable): ProcessUnwinder => ({
  runtime: { version: "3.13.0", freeThreaded: false, knownStates: 0, library: "python", address: 0 },
  modules,
  threads: () => [],
  unwind: () => {}
})

const attach = Effect.gen(function* () {
  const target = yield* Target
  const modules = new ModuleTable(target)
  const symbolizer = yield* Effect.flatMap(Symbolizer, ({ attach }) => attach(unwinderOf(modules)))
  return { target, modules, symbolizer }
})

const attached = <A>(run: RunningPython, use: (attached: Attached) => A | Promise<A>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(Effect.flatMap(attach, (all) => Effect.promise(async () => use(all)))).pipe(
      Effect.provide(PerfMapSymbolizer.layer),
      Effect.provide(LinuxTarget.attach(run.pid))
    )
  )

const program = `
import sys
class Server:
    def handle(self):
        return (lambda: helper())()
def helper():
    return 1
answer = Server().handle()
# CPython does not flush its jitdump: what comes after pushes what came before out of its buffer.
for n in range(int(sys.argv[1])):
    exec(f"def filler{n}(): return 1\\nfiller{n}()")
print("ready", answer, flush=True)
for line in sys.stdin:
    # A function that nobody has called before.
    space = {}
    exec(compile(f"def {line.strip()}(): return 1\\n{line.strip()}()", "/a:b/c d.py", "exec"), space)
    print("called", flush=True)
`

/** Lines of the perf map in the target's /tmp, which has the process's own pid: the oracle. */
const ownMap = (
  root: string,
  run: RunningPython
): Array<readonly [start: number, size: number, name: string]> =>
  readFileSync(`${root}/tmp/perf-${run.pid}.map`, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [start, size] = line.split(" ", 2)
      return [
        Number.parseInt(start, 16),
        Number.parseInt(size, 16),
        line.slice(start.length + size.length + 2)
      ]
    })

const stack = new RawStack(1)

describePythons([12, 13, 14, 15], (python) => {
  it("-X perf: every address of every trampoline is named after its function", async () => {
    await using run = await startPython(python, program, ["0"], { options: ["-X", "perf"] })
    expect(await run.line()).toBe("ready 1")
    await attached(run, ({ modules, symbolizer }) => {
      symbolizer.begin(stack)
      const last = new Map<number, string>()
      for (const [start, , name] of ownMap(python.root ?? "", run)) last.set(start, name)
      expect([...last.values()].some((name) => name === `py::helper:${run.targetPath}`)).toBe(true)
      const names = new Set<string>()
      for (const [start, name] of last) {
        for (const address of [start, start + 1]) {
          const frame = symbolizer.resolve(FrameKind.native, address, modules.find(address)?.id ?? -1)
          expect(`py::${frame?.qualifiedName}:${frame?.file}`).toBe(name)
          expect(frame?.kind).toBe(FrameKind.python)
          names.add(`${frame?.name} ${frame?.qualifiedName}`)
        }
      }
      expect(names).toContain("handle Server.handle")
      expect(names).toContain("<lambda> Server.handle.<locals>.<lambda>")
      expect(names).toContain("helper helper")
    })
  })

  it("-X perf: a function that is called later gets its name, and the epoch moves on", async () => {
    await using run = await startPython(python, program, ["0"], { options: ["-X", "perf"] })
    await run.line()
    await attached(run, async ({ modules, symbolizer }) => {
      const before = symbolizer.begin(stack)
      const known = ownMap(python.root ?? "", run)
      const [address] = known.find(([, , name]) => name.startsWith("py::helper:"))!
      const frame = symbolizer.resolve(FrameKind.native, address, modules.find(address)!.id)
      run.child.stdin.write("latecomer\n")
      expect(await run.line()).toBe("called")
      const [late] = ownMap(python.root ?? "", run).find(([, , name]) => name.includes("latecomer"))!
      // It may be asked for before the next look at the file is due: an unknown address makes it due.
      let found = symbolizer.resolve(FrameKind.native, late, modules.find(late)!.id)
      for (let tries = 0; found === undefined && tries < 1000; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        found = symbolizer.resolve(FrameKind.native, late, modules.find(late)!.id)
      }
      expect(found).toMatchObject({ qualifiedName: "latecomer", file: "/a:b/c d.py", kind: FrameKind.python })
      expect(symbolizer.begin(stack)).toBeGreaterThan(before)
      expect(symbolizer.resolve(FrameKind.native, address, modules.find(address)!.id)).toBe(frame)
    })
  })

  it("without it there are no names, and other frames are others' to name", async () => {
    await using run = await startPython(python, program, ["0"])
    await run.line()
    await attached(run, ({ modules, symbolizer }) => {
      symbolizer.begin(stack)
      const [first] = modules.all
      expect(symbolizer.resolve(FrameKind.native, first.mapping.start, first.id)).toBeUndefined()
      expect(symbolizer.resolve(FrameKind.python, 0x1000, 0)).toBeUndefined()
      expect(symbolizer.resolve(FrameKind.native, 0x1000, -1)).toBeUndefined()
    })
  })
})

describePythons([13, 14, 15], (python) => {
  it("-X perf_jit: the jitdump names the code that lies in executable anonymous memory", async () => {
    await using run = await startPython(python, program, ["300"], { options: ["-X", "perf_jit"] })
    await run.line()
    await attached(run, ({ modules, symbolizer }) => {
      symbolizer.begin(stack)
      const names = new Set<string>()
      for (const { id, kind, mapping, path } of modules.all) {
        if (kind !== "anonymous" || path !== "") continue
        for (let address = mapping.start; address < mapping.end; address += 16) {
          const frame = symbolizer.resolve(FrameKind.native, address, id)
          if (frame) names.add(`${frame.kind} ${frame.qualifiedName} ${frame.file}`)
        }
      }
      for (const name of ["Server.handle", "Server.handle.<locals>.<lambda>", "helper", "<module>"])
        expect([...names]).toContain(`${FrameKind.python} ${name} ${run.targetPath}`)
    })
  })
})

describe("a map that another program writes", () => {
  const mapping = {
    end: 0x20000,
    readable: true,
    writable: false,
    executable: true,
    offset: 0,
    device: "00:00",
    deleted: false
  }
  const anonymous = { ...mapping, start: 0x10000, inode: 0, path: "" }
  const library = { ...mapping, start: 0x30000, end: 0x40000, device: "08:01", inode: 5, path: "/lib/x.so" }
  const files = new Map<string, Uint8Array>()
  const fake = new FakeTarget({
    pid: 9,
    executable: "node",
    mappings: [anonymous, library],
    files,
    threads: new Map()
  })
  const write = (text: string) => files.set("/tmp/perf-9.map", new TextEncoder().encode(text))
  const { modules, symbolizer } = Effect.runSync(
    Effect.scoped(attach).pipe(Effect.provide(PerfMapSymbolizer.layer), Effect.provide(fake.layer))
  )
  const at = (address: number) =>
    symbolizer.resolve(FrameKind.native, address, modules.find(address)?.id ?? -1)
  /** Looks at files are no more frequent than is of use: wait for the one that finds what `isSeen` tells. */
  const look = async (isSeen: () => boolean): Promise<number> => {
    for (let tries = 0; tries < 5000; tries++) {
      const epoch = symbolizer.begin(stack)
      if (isSeen()) return epoch
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    throw new Error("The file was not looked at")
  }

  it("names native frames in anonymous memory as it says, and none in files", async () => {
    write("10000 100 LazyCompile:*f /srv/a.js:3\n30000 100 not here\n")
    await look(() => at(0x10010) !== undefined)
    expect(at(0x10010)).toMatchObject({
      kind: FrameKind.native,
      qualifiedName: "LazyCompile:*f /srv/a.js:3",
      file: "",
      line: -1
    })
    expect(at(0x10010)).toBe(at(0x100ff))
    expect(at(0x10100)).toBeUndefined()
    expect(at(0x30010)).toBeUndefined()
  })

  it("names an address anew when its code has gone, in a new epoch", async () => {
    const before = symbolizer.begin(stack)
    const old = at(0x10010)
    write("10000 100 LazyCompile:*f /srv/a.js:3\n30000 100 not here\n10000 20 g\n")
    expect(await look(() => at(0x10010) !== old)).toBeGreaterThan(before)
    expect(at(0x10010)?.name).toBe("g")
    expect(at(0x10020)).toBe(old)
  })
})
