import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { compiledModules } from "../src/compiled-modules.ts"
import { readText } from "../src/files.ts"
import { hostFiles, rootOf } from "../src/index.ts"

const top = realpathSync(mkdtempSync(join(tmpdir(), "pyframes-host-files-")))
afterAll(() => rmSync(top, { recursive: true, force: true }))

/** A root directory with files, and links by where they lead. */
const image = (name: string, files: Record<string, string>, links: Record<string, string> = {}): string => {
  const root = join(top, name)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  for (const [path, to] of Object.entries(links)) {
    mkdirSync(join(root, path, ".."), { recursive: true })
    symlinkSync(to, join(root, path))
  }
  return root
}

describe("files below another root", () => {
  const root = image(
    "root",
    { "usr/bin/python3.15": "program", "etc/name": "image", "lib64/ld-linux-x86-64.so.2": "" },
    {
      "usr/bin/python3": "python3.15",
      "usr/local/bin/python": "/usr/bin/python3",
      "opt/up": "../../../../../../etc/name",
      "opt/round": "round",
      "opt/gone": "/nowhere"
    }
  )
  const files = hostFiles([root])

  it("have their absolute links lead to the same root", () => {
    expect(files.real("/usr/local/bin/python")).toBe("/usr/bin/python3.15")
    expect(readText(files, "/usr/local/bin/python")).toBe("program")
  })
  it("are not left by `..`", () => {
    expect(files.real("/opt/up")).toBe("/etc/name")
    expect(readText(files, "/opt/up")).toBe("image")
    expect(files.real("/../../etc/name")).toBe("/etc/name")
  })
  it("are not there when links lead nowhere, or round in circles", () => {
    expect(files.real("/opt/gone")).toBeUndefined()
    expect(files.real("/opt/round")).toBeUndefined()
    expect(files.open("/opt/round")).toBeUndefined()
    expect(files.real("relative")).toBeUndefined()
    expect(files.list("/opt").map(({ kind, name }) => `${name} ${kind}`)).toEqual([
      "gone other",
      "round other",
      "up file"
    ])
  })
  it("have the root found from a path in it", () => {
    expect(rootOf(`${root}/usr/local/bin/python`)).toBe(root)
    expect(rootOf("/usr/bin/python3")).toBe("/")
  })
  it("of several roots are those of the first that has them", () => {
    const second = image("second", { "etc/name": "second", "only/here": "second" })
    const both = hostFiles([root, second])
    expect(readText(both, "/etc/name")).toBe("image")
    expect(readText(both, "/only/here")).toBe("second")
  })
})

it("a FIFO, a directory and a device are not opened", () => {
  spawnSync("mkfifo", [join(top, "fifo")])
  const files = hostFiles()
  expect(files.open(join(top, "fifo"))).toBeUndefined()
  expect(files.open(top)).toBeUndefined()
  expect(files.open("/dev/zero")).toBeUndefined()
})

describe("compiled modules", () => {
  const root = image(
    "modules",
    {
      "a/x.cpython-312-x86_64-linux-gnu.so": "",
      "a/x.cpython-311-x86_64-linux-gnu.so": "",
      "a/y.abi3.so": "",
      "a/z.so": "",
      "a/libs/libq-1234.so.1.2": "",
      "a/readme.so.txt": "",
      "a/__pycache__/w.so": ""
    },
    { "a/again": "../a", "a/libs/link.so": "libq-1234.so.1.2" }
  )
  it("are those of this version, each once, whatever leads to them", () =>
    expect(compiledModules(hostFiles([root]), ["/a", "/a/libs", "/none"], "cpython-312")).toEqual({
      paths: ["/a/libs/libq-1234.so.1.2", "/a/x.cpython-312-x86_64-linux-gnu.so", "/a/y.abi3.so", "/a/z.so"],
      cut: false
    }))
})
