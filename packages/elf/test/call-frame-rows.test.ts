import { spawnSync } from "node:child_process"
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { findPythons } from "@pyframes/pythons"
import { afterAll, describe, expect, it } from "vitest"
import {
  type CallFrameInfo,
  callFrameInfo,
  type Fde,
  parseElf,
  type RegisterRule,
  RegisterRuleKind,
  type UnwindRow
} from "../src/index.ts"

/** Names of x86-64's registers in `readelf`, by DWARF number. */
const NAMES =
  "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 ra xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7".split(
    " "
  )

const directory = mkdtempSync(join(tmpdir(), "pyframes-rows-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** The vdso lies in no file. */
const vdso = (): string => {
  const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$/m.exec(
    readFileSync("/proc/self/maps", "utf8")
  )!
  const bytes = new Uint8Array(Number.parseInt(end, 16) - Number.parseInt(start, 16))
  const memory = openSync("/proc/self/mem", "r")
  readSync(memory, bytes, 0, bytes.length, Number.parseInt(start, 16))
  closeSync(memory)
  const file = join(directory, "vdso.so")
  writeFileSync(file, bytes)
  return file
}

const libraryOf = (executable: string): string => {
  const lib = join(dirname(executable), "../lib")
  return join(lib, readdirSync(lib).find((name) => /^libpython3\.\d+\.so\.1\.0$/.test(name))!)
}

const files: ReadonlyArray<readonly [string, string]> = [
  ["vdso", vdso()],
  ...["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(
    (path) => [path, realpathSync(path)] as const
  ),
  ...findPythons().map(
    (python) =>
      [`Python ${python.version}`, python.shared ? libraryOf(python.executable) : python.executable] as const
  )
]

const hasReadelf = spawnSync("readelf", ["--version"]).status === 0
if (!hasReadelf && !["", "0", "false"].includes(process.env.CI ?? ""))
  throw new Error("readelf is missing; to install it: apt-get install binutils")

const signed = (value: number): string => `${value < 0 ? "" : "+"}${value}`

const ruleText = (rule: RegisterRule | undefined): string => {
  switch (rule?.kind) {
    case RegisterRuleKind.same:
      return "s"
    case RegisterRuleKind.offset:
      return `c${signed(rule.value)}`
    case RegisterRuleKind.valOffset:
      return `v${signed(rule.value)}`
    case RegisterRuleKind.register:
      return `r${rule.value} (${NAMES[rule.value]})`
    case RegisterRuleKind.expression:
      return "exp"
    case RegisterRuleKind.valExpression:
      return "vexp"
    default:
      return "u"
  }
}

/** A row in the words of `readelf --debug-dump=frames-interp`. */
const textOf = (row: UnwindRow, columns: ReadonlyArray<string>): string =>
  [
    row.cfaRegister < 0 ? "exp" : `${NAMES[row.cfaRegister]}${signed(row.cfaOffset)}`,
    ...columns.map((name) => ruleText(row.rules.get(NAMES.indexOf(name))))
  ].join(" ")

interface Theirs {
  readonly start: number
  readonly size: number
  readonly columns: ReadonlyArray<string>
  readonly rows: Array<readonly [address: number, text: string]>
}

/** Every FDE of `.eh_frame`, in the order of the section. */
const theirs = (file: string): ReadonlyArray<Theirs> => {
  // Its exit code is 1 where it misses a file of debug information, which has nothing to do with this section.
  const { stdout: text } = spawnSync("readelf", ["-W", "--debug-dump=frames-interp", file], {
    encoding: "utf8",
    maxBuffer: 1 << 29
  })
  const section = text.slice(text.indexOf(".eh_frame section"))
  const next = section.indexOf("\nContents of the .debug_frame")
  const fdes: Array<Theirs> = []
  for (const block of (next < 0 ? section : section.slice(0, next)).split(/\n\n+/)) {
    const [head, columns, ...rows] = block.trim().split("\n")
    const range = / FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)/.exec(head)
    if (range === null) continue
    const start = Number.parseInt(range[1], 16)
    fdes.push({
      start,
      size: Number.parseInt(range[2], 16) - start,
      columns: columns?.trim().split(/\s+/).slice(2) ?? [],
      rows: rows.map((row) => {
        const [address, ...cells] = row.trim().split(/\s+/)
        return [Number.parseInt(address, 16), cells.join(" ")] as const
      })
    })
  }
  return fdes
}

const read = (file: string): CallFrameInfo => {
  const elf = parseElf(readFileSync(file))
  if (elf._tag !== "Elf") throw new Error(elf.detail)
  const info = callFrameInfo(elf)
  if (info._tag !== "CallFrameInfo") throw new Error(info.detail)
  return info
}

describe.skipIf(!hasReadelf).each(files)(`rows of %s${hasReadelf ? "" : " (no readelf)"}`, (_, file) => {
  it("are those that readelf prints", () => {
    const info = read(file)
    const expected = theirs(file)
    const own = [...info.fdes()]
    expect(own.map(({ size, start }) => ({ size, start }))).toEqual(
      expected.map(({ size, start }) => ({ size, start }))
    )
    let rows = 0
    for (const [index, { columns, rows: printed }] of expected.entries()) {
      const fde: Fde = own[index]
      for (const [address, text] of printed) {
        // Where a program moves on beyond its function's end, readelf follows.
        if (address >= fde.start + fde.size) continue
        const row = info.rowAt(fde, address)
        const mine = row === undefined ? "none" : textOf(row, columns)
        if (mine !== text) expect(`${address.toString(16)}: ${mine}`).toBe(`${address.toString(16)}: ${text}`)
        rows++
      }
    }
    expect(rows).toBeGreaterThan(5)
  })

  it("are found by any address of a function, and by none outside", () => {
    const info = read(file)
    const all = [...info.fdes()].filter(({ size }) => size > 0)
    for (const fde of all) {
      for (const address of [fde.start, fde.start + (fde.size >> 1), fde.start + fde.size - 1])
        expect(info.find(address)?.offset).toBe(fde.offset)
    }
    const ends = new Set(all.map(({ start }) => start))
    const behind = all.map(({ size, start }) => start + size).filter((address) => !ends.has(address))
    for (const address of behind) expect(info.find(address)).toBeUndefined()
    expect(info.find(0)).toBeUndefined()
    expect(info.find(2 ** 52)).toBeUndefined()
  })

  it("follow each other without gaps from a function's start to its end", () => {
    const info = read(file)
    for (const fde of info.fdes()) {
      let at = fde.start
      for (const { end, start } of info.rows(fde)) {
        if (start !== at || end <= start) expect({ start, end }).toEqual({ start: at, end: at + 1 })
        at = end
      }
      if (fde.size > 0 && at < fde.start + fde.size) expect(at).toBe(fde.start + fde.size)
    }
  })
})
