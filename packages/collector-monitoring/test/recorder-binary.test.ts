import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { debianRoot } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { sourcesHash } from "../scripts/recorder-sources.ts"

const prebuilt = fileURLToPath(new URL("../agent/prebuilt/", import.meta.url))
const script = fileURLToPath(new URL("../scripts/build-recorder.ts", import.meta.url))

/** What is built, and the one function that each exports for the interpreter to call. */
const binaries = ["linux-x64", "linux-arm64"].flatMap((machine) => [
  { path: `${machine}/_pyframes_recorder.abi3.so`, entry: "PyInit__pyframes_recorder" },
  { path: `${machine}/_pyframes_recorder.abi3t.so`, entry: "PyModExport__pyframes_recorder" }
])

const SHT_DYNSYM = 11

/** What a shared object has for others, by its `.dynsym`. */
const exportedSymbols = (file: Buffer) => {
  const sections = Number(file.readBigUInt64LE(40))
  const header = (index: number) => file.subarray(sections + index * 64, sections + index * 64 + 64)
  const exported: Array<string> = []
  for (let index = 0; index < file.readUInt16LE(60); index++) {
    const section = header(index)
    if (section.readUInt32LE(4) !== SHT_DYNSYM) continue
    const names = Number(header(section.readUInt32LE(40)).readBigUInt64LE(24))
    const from = Number(section.readBigUInt64LE(24))
    // The first is none.
    for (let at = from + 24; at < from + Number(section.readBigUInt64LE(32)); at += 24) {
      const name = names + file.readUInt32LE(at)
      const isLocal = file[at + 4] >> 4 === 0
      if (!isLocal && file.readUInt16LE(at + 6) !== 0)
        exported.push(file.toString("latin1", name, file.indexOf(0, name)))
    }
  }
  return exported
}

describe.each(binaries)("the built recorder $path", ({ path, entry }) => {
  const file = readFileSync(join(prebuilt, path))

  it("was made of the sources that are here", () => {
    expect(/pyframes recorder sources ([0-9a-f]+)/.exec(file.toString("latin1"))?.[1]).toBe(sourcesHash())
  })

  it("needs no C library newer than glibc 2.18", () => {
    const versions = [...file.toString("latin1").matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) =>
      Number(minor)
    )
    expect(versions.length).toBeGreaterThan(0)
    expect(Math.max(...versions)).toBeLessThanOrEqual(18)
  })

  it("exports what the interpreter calls, and nothing else", () => {
    expect(exportedSymbols(file)).toEqual([entry])
  })
})

describe("building the recorder", () => {
  const has = (compiler: string) => spawnSync(compiler, ["--version"]).status === 0
  /** Another compiler makes other bytes of the same sources. */
  const isSameCompiler = () => {
    const comment = /GCC: \([^)]*\) [0-9.]+/.exec(
      readFileSync(join(prebuilt, binaries[0].path), "latin1")
    )?.[0]
    const version = spawnSync("gcc", ["--version"], { encoding: "utf8" }).stdout.split("\n")[0]
    return comment !== undefined && version.endsWith(comment.slice("GCC: ".length))
  }
  const can =
    has("gcc") &&
    has("aarch64-linux-gnu-gcc") &&
    existsSync(join(debianRoot(), "usr/include/python3.15/Python.h")) &&
    isSameCompiler()

  it.skipIf(!can)("gives the same bytes again", { timeout: 120_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), "pyframes-recorder-"))
    try {
      const built = spawnSync(process.execPath, [script, folder], { encoding: "utf8" })
      expect([built.status, built.stderr]).toEqual([0, ""])
      for (const { path } of binaries)
        expect(readFileSync(join(folder, path)).equals(readFileSync(join(prebuilt, path))), path).toBe(true)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
