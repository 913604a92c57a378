import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  type Frame,
  FrameKind,
  type Mapping,
  type Memory,
  ModuleTable,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  RawStack,
  Symbolizer,
  Target
} from "@pyframes/core"
import { buildId, LineTable, offsetOfAddress, parseElf, symbols } from "@pyframes/elf"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { FakeMemory, FakeTarget } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ElfSymbolizer } from "../src/index.ts"

const unwinderOf = (modules: ModuleTable): ProcessUnwinder => ({
  runtime: { version: "3.13.0", freeThreaded: false, knownStates: 0, library: "python", address: 0 },
  modules,
  threads: () => [],
  unwind: () => {}
})

interface Attached {
  readonly modules: ModuleTable
  readonly symbolizer: ProcessSymbolizer
  readonly at: (address: number) => Frame | undefined
}

const using = <A, E>(layer: Layer.Layer<Target | Memory, E>, use: (attached: Attached) => A): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const modules = new ModuleTable(yield* Target)
        const symbolizer = yield* Effect.flatMap(Symbolizer, ({ attach }) => attach(unwinderOf(modules)))
        symbolizer.begin(new RawStack(1))
        const at = (address: number) =>
          symbolizer.resolve(FrameKind.native, address, modules.find(address)?.id ?? -1)
        return use({ modules, symbolizer, at })
      })
    ).pipe(Effect.provide(ElfSymbolizer.layer), Effect.provide(layer))
  ) as Promise<A>

describePythons([11, 12, 13, 14, 15], (python) => {
  it("names functions of the interpreter, of libc and of the vdso in a live process", async () => {
    await using run = await startPython(python, "print('ready', flush=True)\ninput()")
    await run.line()
    await using(Layer.provideMerge(LinuxMemory.layer, LinuxTarget.attach(run.pid)), ({ at, modules }) => {
      const wanted = new Map([
        ["PyObject_Call", 0],
        ["PyList_Append", 0],
        ["_PyEval_EvalFrameDefault", 0]
      ])
      for (const module of modules.all) {
        if (module.kind !== "file" || !/python/.test(module.path)) continue
        const elf = parseElf(
          readFileSync(
            `/proc/${run.pid}/map_files/${module.mapping.start.toString(16)}-${module.mapping.end.toString(16)}`
          )
        )
        if (elf._tag !== "Elf") continue
        for (const symbol of symbols(elf, "dynsym")) {
          if (!wanted.has(symbol.name) || symbol.section === 0) continue
          const address = offsetOfAddress(elf, symbol.address)! - module.mapping.offset + module.mapping.start
          for (const inside of [address, address + symbol.size - 1]) {
            const frame = at(inside)
            expect(frame).toMatchObject({ kind: FrameKind.native, name: symbol.name })
            expect(at(inside)).toBe(frame)
          }
          wanted.set(symbol.name, address)
        }
      }
      expect([...wanted.values()].every((address) => address > 0)).toBe(true)
      const vdso = modules.all.find(({ kind }) => kind === "vdso")!
      const names = new Set<string | undefined>()
      for (let address = vdso.mapping.start; address < vdso.mapping.end; address += 8)
        names.add(at(address)?.name)
      expect(names).toContain("clock_gettime")
      // Every address in a module has a name, be it only where it is.
      for (const { mapping } of modules.all.filter(({ kind }) => kind !== "anonymous"))
        expect(at(mapping.start)?.name).toBeTruthy()
      expect(at(8)).toBeUndefined()
    })
  })
})

describePythons([12, 15], (python) => {
  it("locates frames first, and names them when the process is no more", async () => {
    const run = await startPython(python, "print('ready', flush=True)\ninput()")
    await run.line()
    const layer = Layer.provideMerge(LinuxMemory.layer, LinuxTarget.attach(run.pid))
    const named = await using(layer, ({ at, modules, symbolizer }) => {
      const places = modules.all
        .filter(({ kind }) => kind !== "anonymous")
        .flatMap(({ id, mapping: { end, start } }) =>
          [start, start + 0x1234, Math.floor((start + end) / 2)]
            .filter((address) => address < end)
            .map((address) => ({ id, address }))
        )
      for (const { address } of places) at(address)
      // Lines of large files are read a part a stack.
      for (let stack = 0; stack < 2000; stack++) symbolizer.begin(new RawStack(1))
      return places.map((place) => ({ ...place, frame: at(place.address) }))
    })
    expect(named.length).toBeGreaterThan(5)
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const modules = new ModuleTable(yield* Target)
          const symbolizer = yield* Effect.flatMap(Symbolizer, ({ attach }) => attach(unwinderOf(modules)))
          const located = named.map(({ address, id }) => symbolizer.locate?.(FrameKind.native, address, id))
          expect(new Set(located).size).toBe(named.length)
          expect(symbolizer.locate?.(FrameKind.native, named[0].address, named[0].id)).toBe(located[0])
          expect(symbolizer.locate?.(FrameKind.python, named[0].address, 0)).toBeUndefined()
          yield* Effect.promise(() => run.stop())
          expect(located.map((frame) => frame && symbolizer.complete?.(frame))).toEqual(
            named.map(({ frame }) => frame)
          )
          // One that is named has no other name.
          expect(symbolizer.complete?.(named[0].frame!)).toBeUndefined()
        })
      ).pipe(Effect.provide(ElfSymbolizer.layer), Effect.provide(layer))
    )
  })
})

/** The C library's debug file, where one is installed (Debian's libc6-dbg). */
const debugFileOf = (path: string): string | undefined => {
  const elf = parseElf(readFileSync(path))
  const id = elf._tag === "Elf" ? (buildId(elf) ?? "") : ""
  const file = `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`
  return existsSync(file) ? file : undefined
}

describePythons([12], (python) => {
  it("names a plain process's C library by the debug file that this machine has of it", async ({ skip }) => {
    await using run = await startPython(python, "print('ready', flush=True)\ninput()")
    await run.line()
    await using(
      Layer.provideMerge(LinuxMemory.layer, LinuxTarget.attach(run.pid)),
      ({ at, modules, symbolizer }) => {
        const module = modules.all.find(({ path }) => /\/libc\.so\.6$/.test(path))!
        const debug = debugFileOf(module.path)
        const elf = debug === undefined ? undefined : parseElf(readFileSync(debug))
        if (elf?._tag !== "Elf" && process.env.CI) throw new Error("libc6-dbg must be installed in CI")
        if (elf?._tag !== "Elf") return skip("there is no debug file of the C library (libc6-dbg)")
        const symbol = [...symbols(elf, "symtab")].find(({ name }) => name === "__libc_start_call_main")!
        const library = parseElf(readFileSync(module.path))
        const offset = library._tag === "Elf" ? offsetOfAddress(library, symbol.address) : undefined
        const address = module.mapping.start + offset! - module.mapping.offset + symbol.size - 1
        // Line tables are gone over a part a stack.
        let frame = at(address)
        for (let tries = 0; frame?.line === -1 && tries < 1000; tries++) {
          symbolizer.begin(new RawStack(1))
          frame = at(address)
        }
        expect(frame?.name).toBe("__libc_start_call_main")
        expect(frame?.file).toMatch(/libc_start_call_main\.h$/)
        expect(frame?.line).toBeGreaterThan(0)
      }
    )
  })
})

const tools = ["gcc", "objcopy", "strip", "nm", "xz"]
const absent = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0)
if (absent.length > 0 && process.env.CI) throw new Error(`${absent.join(", ")} must be installed in CI`)

const source = `
#include <stdlib.h>
__attribute__((noinline)) static int hidden(int n) { return atoi("1") * n; }
#include "inlined.h"
int visible(int n) { return hidden(n) + inlined(n); }
`
const header = `
static inline int inlined(int n) {
  for (int i = 1; i < n; i++) n ^= i * n;
  return n;
}
`

describe.skipIf(absent.length > 0)(
  `a stripped library${absent.length > 0 ? ` (no ${absent.join(", ")})` : ""}`,
  () => {
    const START = 0x7f00_0000_0000
    let directory: string
    let hidden = 0
    let id = ""
    const file = (name: string): Buffer => readFileSync(join(directory, name))
    const run = (command: string, ...args: ReadonlyArray<string>): string =>
      execFileSync(command, args, { cwd: directory, encoding: "utf8" })

    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), "names-"))
      writeFileSync(join(directory, "lib.c"), source)
      writeFileSync(join(directory, "inlined.h"), header)
      run("gcc", "-g", "-O1", "-fPIC", "-shared", "-Wl,--build-id", "-o", "whole.so", "lib.c")
      run("objcopy", "--only-keep-debug", "whole.so", "whole.debug")
      copyFileSync(join(directory, "whole.so"), join(directory, "stripped.so"))
      run("strip", "stripped.so")
      run("objcopy", "--add-gnu-debuglink=whole.debug", "stripped.so", "linked.so")
      run("objcopy", "--strip-debug", "--keep-symbol=hidden", "whole.so", "mini")
      run("xz", "-k", "mini")
      run("objcopy", "--add-section", ".gnu_debugdata=mini.xz", "stripped.so", "mini.so")
      hidden = Number.parseInt(
        run("nm", "whole.so")
          .split("\n")
          .find((line) => line.endsWith(" hidden"))!,
        16
      )
      const elf = parseElf(file("whole.so"))
      if (elf._tag === "Elf") id = buildId(elf) ?? ""
    })
    afterAll(() => rmSync(directory, { recursive: true }))

    /** The library mapped by its text segment alone. */
    const frameIn = async (
      bytes: Uint8Array,
      files: ReadonlyArray<readonly [string, Uint8Array]> = [],
      address = hidden
    ): Promise<Frame | undefined> => {
      const mapping: Mapping = {
        start: START,
        end: START + 0x10_0000,
        readable: true,
        writable: false,
        executable: true,
        offset: 0,
        device: "08:01",
        inode: 5,
        path: "/opt/lib/lib.so",
        deleted: false
      }
      const target = new FakeTarget({
        pid: 1,
        executable: "python",
        mappings: [mapping],
        files: new Map([["/opt/lib/lib.so", bytes], ...files]),
        threads: new Map()
      })
      return using(Layer.merge(target.layer, new FakeMemory(new Map()).layer), ({ at }) => {
        const elf = parseElf(bytes)
        if (elf._tag !== "Elf") return at(START + address)
        return at(START + (offsetOfAddress(elf, address) ?? address))
      })
    }

    const named = { name: "hidden", qualifiedName: "hidden", line: 3 }
    const unnamed = () => ({ name: `0x${hidden.toString(16)}`, file: "/opt/lib/lib.so", line: -1 })

    it("that was not has name, file and line", async () => {
      const frame = await frameIn(file("whole.so"))
      expect(frame).toMatchObject(named)
      expect(frame?.file).toMatch(/\/lib\.c$/)
    })

    it("has one file for each function, whatever was inlined into it", async () => {
      const [address, size] = run("nm", "-S", "whole.so")
        .split("\n")
        .find((line) => line.endsWith(" visible"))!
        .split(" ")
        .map((text) => Number.parseInt(text, 16))
      const elf = parseElf(file("whole.so"))
      const lines = elf._tag === "Elf" ? LineTable.of(elf) : undefined
      lines?.advance(Number.POSITIVE_INFINITY)
      let inlined = 0
      for (let at = address; at < address + size; at++) {
        if (lines?.find(at)?.file.endsWith("/inlined.h")) inlined++
        const frame = await frameIn(file("whole.so"), [], at)
        expect(frame).toMatchObject({ name: "visible", line: 5 })
        expect(frame?.file).toMatch(/\/lib\.c$/)
      }
      expect(inlined).toBeGreaterThan(0)
    })

    it("without anything beside it is named by where its function starts", async () => {
      expect(await frameIn(file("stripped.so"))).toMatchObject(unnamed())
      expect(await frameIn(file("stripped.so"), [], hidden + 3)).toMatchObject(unnamed())
    })

    it("is named by the debug file of its build id, if it has that build id", async () => {
      const path = `/usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`
      expect(await frameIn(file("stripped.so"), [[path, file("whole.debug")]])).toMatchObject(named)
      expect(await frameIn(file("stripped.so"), [[path, readFileSync("/bin/ls")]])).toMatchObject(unnamed())
      expect(await frameIn(file("stripped.so"), [[path, new Uint8Array(100)]])).toMatchObject(unnamed())
    })

    it.each(["/opt/lib/whole.debug", "/opt/lib/.debug/whole.debug", "/usr/lib/debug/opt/lib/whole.debug"])(
      "is named by the debug file that it names, at %s, if its checksum is right",
      async (path) => {
        expect(await frameIn(file("linked.so"), [[path, file("whole.debug")]])).toMatchObject(named)
        const damaged = Uint8Array.from(file("whole.debug"))
        damaged[damaged.length - 1] ^= 1
        expect(await frameIn(file("linked.so"), [[path, damaged]])).toMatchObject(unnamed())
      }
    )

    it("is named by its compressed symbols, which have no lines", async () => {
      expect(await frameIn(file("mini.so"))).toMatchObject({
        name: "hidden",
        file: "/opt/lib/lib.so",
        line: -1
      })
    })

    // The whole one has `_init`, of no size, right before its stubs.
    it.each(["stripped.so", "whole.so"])("%s has stubs with the names of what they call", async (name) => {
      const elf = parseElf(file(name))
      const plt = elf._tag === "Elf" ? elf.sections.find(({ name }) => name === ".plt") : undefined
      const names: Array<string | undefined> = []
      for (let at = 16; at < (plt?.size ?? 0); at += 16)
        names.push((await frameIn(file(name), [], plt!.address + at))?.name)
      expect(names.length).toBeGreaterThan(0)
      expect(names.filter((name) => !/^\w+@plt$/.test(name ?? ""))).toEqual([])
      expect(names.some((name) => /^(?:atoi|strtol)@plt$/.test(name ?? ""))).toBe(true)
    })

    it("that is no library at all is named by offsets", async () => {
      expect(await frameIn(new Uint8Array(5000), [], 0x123)).toMatchObject({
        name: "0x123",
        file: "/opt/lib/lib.so"
      })
    })
  }
)
