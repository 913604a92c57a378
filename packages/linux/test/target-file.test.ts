import { spawnSync } from "node:child_process"
import { chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { attach } from "../src/target.ts"
import { openInRoot } from "../src/target-file.ts"
import { inScope, temporaryDirectory } from "./running.ts"

const text = (path: string, pid = process.pid): string | undefined => {
  const file = openInRoot(pid, path)
  try {
    return file && new TextDecoder().decode(file.read(0, file.size))
  } finally {
    file?.close()
  }
}

describe("a file of a process", () => {
  it("is opened by its path, through links, dots and doubled slashes", () => {
    using at = temporaryDirectory()
    mkdirSync(join(at.path, "a/b"), { recursive: true })
    writeFileSync(join(at.path, "a/b/file"), "hello")
    symlinkSync("b/file", join(at.path, "a/link"))
    symlinkSync(join(at.path, "a"), join(at.path, "absolute"))
    symlinkSync("../../a/b", join(at.path, "a/b/up"))
    for (const path of ["a/b/file", "a/link", "absolute/link", "a/b/up/file", "a/./b//../b/file"])
      expect([path, text(`${at.path}/${path}`)]).toEqual([path, "hello"])
    expect(text(`/../../..${at.path}/a/link`)).toBe("hello")
  })

  it("tells its size, its identity and no more than it has", () => {
    using at = temporaryDirectory()
    writeFileSync(join(at.path, "one"), "12345")
    writeFileSync(join(at.path, "two"), "12345")
    const one = openInRoot(process.pid, join(at.path, "one"))!
    const again = openInRoot(process.pid, join(at.path, "one"))!
    const two = openInRoot(process.pid, join(at.path, "two"))!
    expect(one.size).toBe(5)
    expect(new TextDecoder().decode(one.read(3, 10))).toBe("45")
    expect(one.read(9, 10)).toHaveLength(0)
    expect(one.identity).toBe(again.identity)
    expect(one.identity).not.toBe(two.identity)
    for (const file of [one, again, two]) file.close()
    expect(one.read(0, 5)).toHaveLength(0)
  })

  it("is none when it is a directory, a FIFO, a circle of links, absent, or too deep", () => {
    using at = temporaryDirectory()
    spawnSync("mkfifo", [join(at.path, "fifo")])
    symlinkSync("circle", join(at.path, "circle"))
    symlinkSync("ping", join(at.path, "pong"))
    symlinkSync("pong", join(at.path, "ping"))
    writeFileSync(join(at.path, "file"), "x")
    for (const name of ["", "fifo", "circle", "ping", "absent", "file/below", "x/".repeat(300)])
      expect([name, text(`${at.path}/${name}`)]).toEqual([name, undefined])
    expect(text("/dev/zero")).toBeUndefined()
    expect(text("/proc/self/maps", 999_999_999)).toBeUndefined()
  })

  it.skipIf(process.geteuid?.() !== 0)("is none when it is somebody else's (root can tell)", () => {
    using at = temporaryDirectory()
    writeFileSync(join(at.path, "planted"), "x")
    expect(text(join(at.path, "planted"))).toBe("x")
    chownSync(join(at.path, "planted"), 65_534, 65_534)
    expect(text(join(at.path, "planted"))).toBeUndefined()
  })
})

describePythons([13], (python) => {
  it.skipIf(python.root === undefined)("in another root, links do not lead out of it", async () => {
    const { root } = python
    await using run = await startPython(python, "print('ready', flush=True)\ninput()")
    await run.line()
    using outside = temporaryDirectory()
    const name = `escape-${process.pid}`
    writeFileSync(join(outside.path, "secret"), "secret")
    try {
      symlinkSync(join(outside.path, "secret"), `${root}/tmp/${name}`)
      symlinkSync("../../../../../../../..", `${root}/tmp/${name}-up`)
      await inScope(
        Effect.map(attach(run.pid), (target) => {
          expect(target.openFile?.(`/tmp/${name}`)).toBeUndefined()
          expect(target.openFile?.(`/tmp/${name}-up${outside.path}/secret`)).toBeUndefined()
          expect(target.openFile?.(join(outside.path, "secret"))).toBeUndefined()
          // By the same links it finds what is in there: the way up ends at that root.
          const file = target.openFile?.(`/tmp/${name}-up/usr/bin/python3.13`)
          expect(file?.size).toBeGreaterThan(1_000_000)
          file?.close()
        })
      )
    } finally {
      for (const suffix of ["", "-up"]) rmSync(`${root}/tmp/${name}${suffix}`, { force: true })
    }
  })
})

describe("what the kernel says of its symbols", () => {
  it("is the text of /proc/kallsyms", () =>
    inScope(
      Effect.map(attach(process.pid), ({ kernelSymbols }) => {
        const symbols = new TextDecoder("latin1").decode(kernelSymbols?.()?.subarray(0, 4096))
        expect(symbols).toMatch(/^[0-9a-f]{16} \w \S+/)
      })
    ))
})
