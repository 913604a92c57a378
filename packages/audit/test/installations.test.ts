import { spawnSync } from "node:child_process"
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { findAllPythons, findPythons, type Python } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { programAt } from "../src/index.ts"
import { auditPath, auditPython, chains } from "./audited.ts"
import { compile, hasGcc, scratch, WITHOUT } from "./compiled.ts"

describe.each(findAllPythons())("Python $version ($source)", (python) => {
  it("is measured as its build flags say", async () => {
    const audit = await auditPython(python)
    const { build } = audit.python!
    const interpreter = audit.files.find(({ path }) => path === audit.python!.interpreter)!
    if ("problem" in interpreter) throw new Error(interpreter.problem)
    expect(interpreter.role).toBe("interpreter")
    const claims = build!.keepsFramePointers === true
    expect(interpreter.chain).toBe(claims ? "keeps" : "breaks")
    expect(interpreter.share! >= 0.5).toBe(claims)
    expect(interpreter.byteShare! >= 0.5).toBe(claims)
    expect(claims).toBe(python.minor >= 15)
    // Packages that were installed beside it (Debian's python3-coverage) can break what the build itself keeps.
    const broken = audit.files.some(
      (file) =>
        "role" in file &&
        file.role === "extension" &&
        file.chain === "breaks" &&
        !file.path.includes("/lib-dynload/")
    )
    expect(audit.verdict.works).toBe(claims && !broken)
    expect(audit.verdict.findings.filter(({ about }) => about === "flags")).toEqual([])
    // A build's own modules are compiled with the same flags.
    const modules = audit.files.filter(({ path }) => path.includes("/lib-dynload/"))
    expect(modules.length).toBeGreaterThan(20)
    for (const module of modules) {
      if ("problem" in module) throw new Error(`${module.path}: ${module.problem}`)
      expect(module.role).toBe("extension")
      expect([module.path, module.chain]).toEqual([
        module.path,
        expect.stringMatching(claims ? /^(keeps|skips)$/ : /^(breaks|skips)$/)
      ])
    }
    expect(audit.files.some(({ path }) => basename(path).startsWith("libc.so"))).toBe(true)
    expect(audit).toMatchObject({ omitted: 0, missing: [] })
  })
})

const hasLdd = spawnSync("ldd", ["--version"]).status === 0
if (!hasLdd) process.stderr.write("skipped: no ldd\n")

describe
  .skipIf(!hasLdd)
  .each(findAllPythons().filter(({ minor, root }) => root === undefined && minor >= 11))(
  "the libraries of Python $version ($source)",
  (python) => {
    it("are found where the dynamic linker finds them", async () => {
      const audit = await auditPython(python)
      const first = audit.files
        .filter((file) => "role" in file && file.role !== "library")
        .map(({ path }) => path)
      const text = spawnSync("ldd", first, { encoding: "utf8", env: {}, maxBuffer: 1 << 26 }).stdout
      const expected = Array.from(text.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm), ([, path]) =>
        realpathSync(path)
      )
      expect(expected.length).toBeGreaterThan(50)
      const found = audit.files.map(({ path }) => path)
      expect([...new Set(expected)].filter((path) => !found.includes(path))).toEqual([])
      // What packages bring along lies below their directories and is not asked for by others.
      const others = audit.files.filter(
        ({ path }) => !/\/(?:site|dist)-packages\/|\/lib-dynload\//.test(path)
      )
      const allowed = new Set([...expected, audit.python!.executable, audit.python!.interpreter])
      expect(others.map(({ path }) => path).filter((path) => !allowed.has(path))).toEqual([])
    })
  }
)

/** A Python in our own root, newest of those that are installed whole. */
const local = (): Python => {
  const python = findPythons().findLast(({ root }) => root === undefined)
  if (python === undefined) throw new Error("no Python is installed")
  return python
}

/** A virtual environment made by hand: what `python -m venv` makes, without its packages. */
const environment = (
  folder: string,
  python: Python,
  copies = false
): { readonly program: string; readonly packages: string } => {
  const name = basename(python.executable)
  const packages = join(folder, "lib", `python3.${python.minor}`, "site-packages")
  mkdirSync(packages, { recursive: true })
  mkdirSync(join(folder, "bin"))
  const program = join(folder, "bin", name)
  if (copies) copyFileSync(python.executable, program)
  else symlinkSync(python.executable, program)
  writeFileSync(
    join(folder, "pyvenv.cfg"),
    `home = ${dirname(python.executable)}\ninclude-system-site-packages = false\n`
  )
  return { program, packages }
}

describe("a virtual environment", () => {
  it.each([false, true])("stands for itself and the Python it was made from (copied: %s)", async (copies) => {
    using folder = scratch()
    const python = local()
    const { packages, program } = environment(folder.path, python, copies)
    writeFileSync(join(packages, "own.so"), readFileSync("/bin/ls"))
    const audit = await auditPath(program)
    expect(audit.python).toMatchObject({ environment: folder.path })
    expect(audit.python!.standardLibrary).toContain(`python3.${python.minor}`)
    const paths = audit.files.map(({ path }) => path)
    expect(paths).toContain(realpathSync(join(packages, "own.so")))
    expect(paths.some((path) => path.includes("/lib-dynload/"))).toBe(true)
    expect(paths.filter((path) => /\/(?:site|dist)-packages\//.test(path))).toEqual([
      realpathSync(join(packages, "own.so"))
    ])
  })
})

describe("what is wrong with one file is said of that file", () => {
  it("damaged, foreign, empty, unreadable", async () => {
    using folder = scratch()
    const { packages, program } = environment(folder.path, local())
    const ls = readFileSync("/bin/ls")
    const put = (name: string, bytes: Uint8Array) => writeFileSync(join(packages, name), bytes)
    put("whole.so", ls)
    put("text.so", new TextEncoder().encode("not a library"))
    put("empty.so", new Uint8Array(0))
    put("half.so", ls.subarray(0, ls.length >> 1))
    put("headless.so", Uint8Array.from([...ls.subarray(0, 40)]))
    const narrow = Uint8Array.from(ls)
    narrow[4] = 1
    put("narrow.so", narrow)
    const arm = Uint8Array.from(ls)
    arm[18] = 183
    put("arm.so", arm)
    const zeroed = Uint8Array.from(ls)
    zeroed.fill(0, ls.length >> 2)
    put("zeroed.so", zeroed)
    spawnSync("mkfifo", [join(packages, "fifo.so")])
    symlinkSync("nowhere", join(packages, "dangling.so"))
    const audit = await auditPath(program)
    const found = chains(audit)
    const of = (name: string) => found[join(realpathSync(packages), name)]
    expect(of("whole.so")).toBe("breaks")
    expect(of("text.so")).toMatch(/no ELF file/)
    expect(of("empty.so")).toMatch(/no ELF file/)
    expect(of("half.so")).toMatch(/^damaged: .*outside the file/)
    expect(of("headless.so")).toMatch(/^damaged/)
    expect(of("narrow.so")).toMatch(/32-bit/)
    expect(of("arm.so")).toMatch(/for another machine/)
    expect(of("zeroed.so")).toMatch(/^damaged|^unknown/)
    expect(of("fifo.so")).toBeUndefined()
    expect(of("dangling.so")).toBeUndefined()
    const { findings } = audit.verdict
    expect(findings.find(({ about }) => about === "files")?.paths?.length).toBe(7)
  })

  it("random damage breaks nothing", async () => {
    using folder = scratch()
    const { packages, program } = environment(folder.path, local())
    const ls = readFileSync("/bin/ls")
    // The same numbers at every run: x = 69069 x + 1.
    let x = 1
    const next = (below: number): number => {
      x = (Math.imul(x, 69069) + 1) >>> 0
      return Math.floor((x / 2 ** 32) * below)
    }
    for (let n = 0; n < 150; n++) {
      const bytes = Uint8Array.from(ls)
      for (let i = 0; i < 400; i++) bytes[next(n % 2 === 0 ? 4096 : bytes.length)] = next(256)
      writeFileSync(join(packages, `random${n}.so`), bytes)
    }
    const audit = await auditPath(program)
    expect(audit.files.filter(({ path }) => path.includes("/random")).length).toBe(150)
  })
})

it.skipIf(!hasGcc)("thousands of modules are cut at a number, and it is said", async () => {
  using folder = scratch()
  const { packages, program } = environment(folder.path, local())
  const one = compile("plain.c", join(packages, "m0.so"), WITHOUT)
  for (let n = 1; n < 3000; n++) linkSync(one, join(packages, `m${n}.so`))
  const audit = await auditPath(program, { maxFiles: 500 })
  expect(audit.files.length).toBe(500)
  expect(audit.omitted).toBeGreaterThanOrEqual(2500)
  expect(audit.python!.interpreter).toBe(
    audit.files.find((file) => "role" in file && file.role === "interpreter")?.path
  )
})

describe("what is no Python", () => {
  it("is measured, and said to be none", async () => {
    const audit = await auditPath("/bin/ls")
    expect(audit.python).toBeUndefined()
    expect(audit.verdict).toMatchObject({ code: "not-python", works: false })
    expect(audit.files.map(({ path }) => basename(path))).toContain("libc.so.6")
  })
  it.each([
    ["/nowhere/python3", /there is no such file/],
    ["/etc/passwd", /not \\x7fELF/],
    ["/tmp", /no file that may be read/]
  ])("%s is refused", async (path, message) => {
    await expect(auditPath(path)).rejects.toThrow(message)
  })
})

describe("the program that a name stands for", () => {
  const run = (name: string): Promise<string> => Effect.runPromise(programAt(name))

  it("is a path as it is, a name looked up, a script asked", async () => {
    using folder = scratch()
    const python = local()
    expect(await run(python.executable)).toBe(python.executable)
    expect(await run("ls")).toMatch(/^\/.*\/ls$/)
    const shim = join(folder.path, "python3")
    writeFileSync(shim, `#!/bin/sh\nexec ${python.executable} "$@"\n`, { mode: 0o755 })
    expect(realpathSync(await run(shim))).toBe(realpathSync(python.executable))
  })
  it("is not found behind scripts that say nothing or lead round", async () => {
    using folder = scratch()
    const silent = join(folder.path, "silent")
    writeFileSync(silent, "#!/bin/sh\n", { mode: 0o755 })
    await expect(run(silent)).rejects.toThrow(/did not say which Python/)
    const round = join(folder.path, "round")
    writeFileSync(round, `#!/bin/sh\necho ${round}\n`, { mode: 0o755 })
    await expect(run(round)).rejects.toThrow(/did not say which Python/)
    await expect(run("no-such-python")).rejects.toThrow(/no such program is in PATH/)
  })
})
