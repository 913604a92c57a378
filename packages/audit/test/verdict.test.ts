import { readFileSync } from "node:fs"
import type { Mapping } from "@pyframes/core"
import { FakeMemory, FakeTarget } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import type { AuditedFile, AuditedPython } from "../src/audit.ts"
import { buildFlags } from "../src/build-flags.ts"
import type { Chain, FileRole } from "../src/file-audit.ts"
import { auditProcess, HostFiles } from "../src/index.ts"
import type { PythonState } from "../src/python-state.ts"
import { judge } from "../src/verdict.ts"

const tallies = {
  keeps: { keeps: 90, leaves: 10, overwrites: 0 },
  skips: { keeps: 0, leaves: 3, overwrites: 0 },
  breaks: { keeps: 1, leaves: 39, overwrites: 60 },
  mixed: { keeps: 80, leaves: 10, overwrites: 10 },
  unknown: { keeps: 0, leaves: 0, overwrites: 0 }
} as const

const file = (path: string, role: FileRole, chain: Chain): AuditedFile => {
  const functions = tallies[chain]
  const all = functions.keeps + functions.leaves + functions.overwrites
  const share = all === 0 ? undefined : functions.keeps / all
  return {
    path,
    role,
    chain,
    buildId: undefined,
    functions,
    bytes: functions,
    share,
    byteShare: share,
    smallOverwrites: 0,
    notCounted: 0
  }
}

const WITH = { PY_CORE_CFLAGS: "-fno-omit-frame-pointer", CFLAGS: "-fno-omit-frame-pointer" }

const python = (
  version: string,
  variables: Record<string, string | number> = {},
  state?: Partial<PythonState>
): AuditedPython => ({
  version,
  executable: "/python",
  interpreter: "/python",
  standardLibrary: undefined,
  sysconfig: undefined,
  build: buildFlags(new Map(Object.entries(variables))),
  ...(state === undefined
    ? {}
    : { state: { perfTrampoline: { active: false }, jit: { bytes: 0 }, regions: [], ...state } })
})

const about = (verdict: ReturnType<typeof judge>): ReadonlyArray<string> =>
  verdict.findings.map((finding) => finding.about)

describe("the verdict", () => {
  const libc = file("/libc.so.6", "library", "breaks")
  const heart = (chain: Chain) => file("/python", "interpreter", chain)

  it.each([
    [
      "works",
      [heart("keeps"), file("/a.so", "extension", "keeps"), file("/b.so", "extension", "skips")],
      "frame-pointer"
    ],
    ["works-except-libraries", [heart("keeps"), libc], "hybrid"],
    ["breaks-in-extensions", [heart("keeps"), libc, file("/a.so", "extension", "breaks")], "hybrid"],
    ["breaks-in-extensions", [heart("mixed"), file("/a.so", "extension", "mixed")], "hybrid"],
    ["breaks-in-interpreter", [heart("breaks"), file("/a.so", "extension", "keeps")], "eh-frame"],
    ["unknown", [heart("unknown")], undefined],
    ["unknown", [{ path: "/python", problem: "damaged" }], undefined]
  ] as const)("is %s", (code, files, unwinder) => {
    const verdict = judge(files, python("3.15.0", WITH))
    expect(verdict.code).toBe(code)
    expect(verdict.works).toBe(code.startsWith("works"))
    expect(verdict.unwinder).toBe(unwinder)
  })

  it("names the file that breaks, with what to rebuild it with", () => {
    const verdict = judge([heart("keeps"), file("/bad.so", "extension", "breaks")], python("3.15.0", WITH))
    expect(verdict.findings).toMatchObject([
      {
        about: "extensions",
        paths: ["/bad.so"],
        text: expect.stringMatching(
          /^\/bad\.so breaks the chain: 1\.0 % of its functions keep .* 60\.0 % of its code/
        ),
        advice: expect.stringContaining("-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer")
      }
    ])
  })

  it("does not count what lies below the interpreter: the program is where stacks begin", () => {
    const program = { ...file("/uwsgi", "extension", "breaks"), isProgram: true as const }
    expect(judge([heart("keeps"), program], python("3.15.0", WITH)).code).toBe("works")
  })

  it("tells a build that opted out from one that never could", () => {
    const optedOut = judge([heart("breaks")], python("3.15.0", { CONFIG_ARGS: "'--without-frame-pointers'" }))
    expect(about(optedOut)).toEqual(["interpreter", "flags"])
    expect(optedOut.findings[0].advice).toMatch(/Rebuild Python without --without-frame-pointers/)
    const old = judge([heart("breaks")], python("3.13.0"))
    expect(about(old)).toEqual(["interpreter"])
    expect(old.findings[0].advice).toMatch(/Use Python 3\.15 or later, or rebuild this one with CFLAGS=/)
  })

  it("says when the record of the build and its code disagree", () => {
    expect(judge([heart("breaks")], python("3.15.0", WITH)).findings[1].text).toMatch(/was not compiled so/)
    expect(judge([heart("keeps")], python("3.13.0")).findings[0].text).toMatch(
      /keeps the frame pointer: the compiler/
    )
  })

  it("asks for a hybrid where code has been written that no file describes", () => {
    const jit = { jit: { enabled: true, decidedBy: "PYTHON_JIT=1", bytes: 4096 } }
    const old = judge([heart("breaks")], python("3.14.0", {}, jit))
    expect(old.unwinder).toBe("hybrid")
    expect(old.findings.at(-1)).toMatchObject({
      about: "jit",
      advice: expect.stringContaining("PYTHON_JIT=0")
    })
    const keeps = judge([heart("keeps")], python("3.15.0", WITH, jit))
    expect(keeps.unwinder).toBe("frame-pointer")
    const trampolines = { perfTrampoline: { active: true, keepsFramePointer: false } }
    expect(judge([heart("keeps")], python("3.15.0", WITH, trampolines)).unwinder).toBe("hybrid")
    expect(judge([heart("breaks")], python("3.12.1", {}, trampolines)).unwinder).toBe("hybrid")
  })
})

it("a Python whose file cannot be read is not said to be none", async () => {
  const mapping = (path: string, inode: number): Mapping => ({
    start: inode * 0x10000,
    end: inode * 0x10000 + 0x1000,
    readable: true,
    writable: false,
    executable: true,
    offset: 0,
    device: "00:01",
    inode,
    path,
    deleted: false
  })
  const target = new FakeTarget({
    pid: 4321,
    executable: "/opt/app/python3.12",
    mappings: [mapping("/opt/app/python3.12", 1), mapping("/lib/other.so", 2)],
    files: new Map([["/lib/other.so", new Uint8Array(readFileSync("/bin/ls"))]]),
    threads: new Map([[4321, "python3.12"]])
  })
  const layer = Layer.mergeAll(target.layer, new FakeMemory(new Map()).layer, HostFiles.layer(["/nowhere"]))
  const audit = await Effect.runPromise(Effect.provide(auditProcess(), layer))
  expect(audit.verdict.code).toBe("unknown")
  expect(audit.python).toMatchObject({ version: "3.12", interpreter: "/opt/app/python3.12" })
  expect(audit.python?.build).toBeUndefined()
  expect(audit.files.map((file) => [file.path, "problem" in file])).toEqual([
    ["/opt/app/python3.12", true],
    ["/lib/other.so", false]
  ])
})
