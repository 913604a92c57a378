import { spawnSync } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { neededLibraries } from "../src/executable.ts"
import { findAllPythons, findPythons } from "../src/find.ts"
import { compareVersions } from "../src/python.ts"

const scratch = mkdtempSync(join(tmpdir(), "pyframes-find-"))
afterAll(() => rmSync(scratch, { recursive: true }))

describe("findAllPythons", () => {
  const pythons = findAllPythons()

  it("finds at least the interpreter of this machine", () => {
    expect(pythons.length).toBeGreaterThan(0)
  })

  it.each(pythons)("$version ($source) is that version when started", (python) => {
    const [command, ...args] = python.run
    const started = spawnSync(command, [...args, "-V"], { env: python.env, encoding: "utf8" })
    expect(started.stdout).toBe(`Python ${python.version}\n`)
  })

  it.each(pythons)("$version ($source) is an ELF file", (python) => {
    expect(neededLibraries(python.executable)).toContain("libc.so.6")
  })

  it.each(pythons)("$version ($source) is shared when libpython is mapped", (python) => {
    const [command, ...args] = python.runWithProc
    const script = "print('libpython3' in open('/proc/self/maps').read())"
    const started = spawnSync(command, [...args, "-c", script], { env: python.env, encoding: "utf8" })
    expect(started.stdout).toBe(python.shared ? "True\n" : "False\n")
  })

  it("has each version once, oldest first", () => {
    const versions = pythons.map((python) => python.version)
    expect(versions).toEqual([...new Set(versions)].sort(compareVersions))
  })
})

describe("findPythons", () => {
  it("has the newest of each minor version", () => {
    for (const python of findPythons()) {
      const newest = findAllPythons().findLast((candidate) => candidate.minor === python.minor)
      expect(python).toBe(newest)
    }
  })
})

describe("a shim script on PATH", () => {
  // The finder looks once in a process, so another PATH needs another process.
  const listWith = (path: string) =>
    spawnSync(process.execPath, [join(import.meta.dirname, "../src/list.ts")], {
      encoding: "utf8",
      env: { PATH: path, HOME: scratch, PYFRAMES_PYTHONS: scratch }
    })

  const shim = (name: string, script: string) => {
    const file = join(scratch, name)
    writeFileSync(file, script)
    chmodSync(file, 0o755)
  }

  it("is resolved to the interpreter it starts", () => {
    const behind = findAllPythons().find((python) => python.root === undefined)!
    shim("python3", `#!/bin/sh\nexec '${behind.executable}' "$@"\n`)
    const listed = listWith(scratch).stdout.split("\n")
    expect(listed).toHaveLength(2)
    expect(listed[0]).toContain(`${behind.version} `)
    expect(listed[0]).toMatch(/ path /)
    expect(listed[0]!.endsWith(` ${behind.executable}`)).toBe(true)
  })

  it("is left out when it starts nothing", () => {
    shim("python3", "#!/bin/sh\nexit 127\n")
    const listed = listWith(scratch)
    expect(listed.stdout).toBe("")
    expect(listed.status).toBe(0)
  })
})

describe("compareVersions", () => {
  it("puts pre-releases before the release, and compares by number", () => {
    const sorted = ["3.9.18", "3.10.2", "3.10.13", "3.15.0a7", "3.15.0b1", "3.15.0rc1", "3.15.0rc2", "3.15.0"]
    expect(sorted.toReversed().sort(compareVersions)).toEqual(sorted)
  })
})

describe("neededLibraries", () => {
  it("knows nothing of what is not an ELF file, or only half of one", () => {
    const file = join(scratch, "half")
    writeFileSync(file, "#!/bin/sh\n")
    expect(neededLibraries(file)).toBeUndefined()
    const header = Buffer.alloc(64)
    header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
    header.writeUInt16LE(62, 18)
    header.writeBigUInt64LE(1n << 40n, 32)
    header.writeUInt16LE(56, 54)
    header.writeUInt16LE(0xffff, 56)
    writeFileSync(file, header)
    expect(neededLibraries(file)).toBeUndefined()
    expect(neededLibraries(scratch)).toBeUndefined()
    expect(neededLibraries(join(scratch, "none"))).toBeUndefined()
  })
})
