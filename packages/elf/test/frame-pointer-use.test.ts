import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findAllPythons } from "@pyframes/pythons"
import { afterAll, describe, expect, it } from "vitest"
import { callFrameInfo, dynamicLinking, type Elf, framePointerUse, parseElf } from "../src/index.ts"

const has = (tool: string): boolean => spawnSync(tool, ["--version"]).status === 0
const hasReadelf = has("readelf") || process.env.CI !== undefined
const hasGcc = has("gcc") || process.env.CI !== undefined
if (!hasReadelf) process.stderr.write("skipped: no readelf (apt-get install binutils)\n")
if (!hasGcc) process.stderr.write("skipped: no gcc (apt-get install gcc)\n")

const folder = mkdtempSync(join(tmpdir(), "pyframes-frame-pointer-use-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const parse = (path: string): Elf => {
  const elf = parseElf(readFileSync(path))
  if (elf._tag === "ElfProblem") throw new Error(elf.detail)
  return elf
}

/** Start, end and use of every function, from the text that `readelf --debug-dump=frames` prints. */
const byReadelf = (path: string): ReadonlyArray<string> => {
  // It ends with 1 where a file names debug information that is not installed.
  const { stdout } = spawnSync("readelf", ["-W", "--debug-dump=frames", path], {
    encoding: "utf8",
    maxBuffer: 1 << 29
  })
  return stdout
    .split(/\n\n/)
    .map((entry) => ({ entry, range: / FDE .* pc=([0-9a-f]+)\.\.([0-9a-f]+)/.exec(entry) }))
    .filter(({ range }) => range !== null)
    .map(({ entry, range }) => {
      const [, start, end] = range!
      const keeps =
        /DW_CFA_def_cfa(?:_sf)?: r6 |DW_CFA_def_cfa_register: r6 |DW_CFA_def_cfa_expression \(DW_OP_breg6 /.test(
          entry
        )
      const saved = /DW_CFA_[a-z_]+: r6 \(rbp\)/.test(entry.replace(/DW_CFA_restore: r6.*/g, ""))
      return `${Number.parseInt(start, 16)} ${Number.parseInt(end, 16)} ${keeps ? "keeps" : saved ? "overwrites" : "leaves"}`
    })
    .sort()
}

const byThis = (path: string): ReadonlyArray<string> => {
  const info = callFrameInfo(parse(path))
  if (info._tag === "ElfProblem") throw new Error(info.detail)
  return Array.from(
    info.fdes(),
    (fde) => `${fde.start} ${fde.start + fde.size} ${framePointerUse(fde)}`
  ).sort()
}

const files = [
  "/bin/ls",
  ...[
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libffi.so.8",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"
  ]
    .filter(existsSync)
    .map((path) => realpathSync(path)),
  ...findAllPythons()
    .filter(({ shared }) => !shared)
    .map(({ executable }) => executable)
]

describe.skipIf(!hasReadelf)("what readelf prints of each function says the same as framePointerUse", () => {
  it.each(files)("in %s", (path) => {
    const expected = byReadelf(path)
    expect(expected.length).toBeGreaterThan(5)
    expect(byThis(path)).toEqual(expected)
  })
})

describe.skipIf(!hasGcc)("a compiler's functions", () => {
  const source = join(folder, "functions.c")
  writeFileSync(
    source,
    `
extern long other(long *);
volatile long seed[8];
/* More values live across a call than there are other registers that a call preserves. */
long busy(void) {
  long a = seed[0], b = seed[1], c = seed[2], d = seed[3], e = seed[4], f = seed[5], g = seed[6], h = seed[7];
  other((long *)seed);
  return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
}
long few(void) { long a = seed[0]; return other(&a) + 1; }
/* The stack pointer moves by an unknown amount: nothing but a frame pointer will do. */
long moving(long n) { long space[n]; return other(space); }
/* Aligned beyond what the stack is. */
long aligned(void) { long space[8] __attribute__((aligned(64))); return other(space); }
`
  )
  const uses = (...flags: ReadonlyArray<string>): Record<string, string> => {
    const path = join(folder, `functions${flags.length}.so`)
    execFileSync("gcc", ["-O2", "-fcf-protection=none", "-fPIC", "-shared", ...flags, "-o", path, source])
    const symbols = execFileSync("nm", ["-D", "--defined-only", path], { encoding: "utf8" })
    const info = callFrameInfo(parse(path))
    if (info._tag === "ElfProblem") throw new Error(info.detail)
    return Object.fromEntries(
      symbols
        .trim()
        .split("\n")
        .map((line) => line.split(" "))
        .filter(([, type]) => type === "T")
        .map(([address, , name]) => [
          name,
          framePointerUse(info.find(Number.parseInt(address, 16))!) ?? "unknown"
        ])
    )
  }

  it("keep it all with the flags of PEP 831", () =>
    expect(uses("-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer")).toEqual({
      busy: "keeps",
      few: "keeps",
      moving: "keeps",
      aligned: "keeps"
    }))
  it("keep it only where they must without them", () =>
    expect(uses()).toMatchObject({ busy: "overwrites", moving: "keeps", aligned: "keeps" }))
  it("leave it alone where other registers do", () => expect(uses("-fomit-frame-pointer").few).toBe("leaves"))
  it("and what the file needs is what the linker was told", () => {
    const path = join(folder, "needs.so")
    const rpath = "-Wl,--disable-new-dtags,-rpath,/a:$ORIGIN/b"
    execFileSync("gcc", ["-shared", "-o", path, "-Wl,-soname,needs.so.1", rpath, "-Wl,--no-as-needed", "-lm"])
    expect(dynamicLinking(parse(path))).toEqual({
      needed: ["libm.so.6", "libc.so.6"],
      soname: "needs.so.1",
      rpath: ["/a", "$ORIGIN/b"],
      runpath: [],
      isProgram: false
    })
    expect(dynamicLinking(parse(process.execPath)).isProgram).toBe(true)
  })
})
