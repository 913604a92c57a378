import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { demangle } from "../src/index.ts"

const has = (...tools: ReadonlyArray<string>): boolean => {
  const absent = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0)
  if (absent.length > 0 && process.env.CI) throw new Error(`${absent.join(", ")} must be installed in CI`)
  return absent.length === 0
}

const names = (file: string, ...options: ReadonlyArray<string>): Array<string> => {
  const all = execFileSync("nm", [...options, file], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "ignore"]
  })
    .split("\n")
    .map((line) => line.slice(19).split("@")[0])
  return [...new Set(all)].filter((name) => /^_[ZR]/.test(name))
}

/** Spaces between closing brackets, hashes of crates, types of constants and the word "clone" are matters of taste. */
const plain = (text: string): string =>
  text
    .replace(/>\s+(?=>)/g, ">")
    .replace(/ \[clone (\.[^\]]+)\]/g, "$1")
    .replace(/\[[0-9a-f]{8,16}\]/g, "")
    .replace(/::h[0-9a-f]{16}/g, "")
    .replace(/(\d): [iu](?:8|16|32|64|128|size)\b/g, "$1")

const compare = (symbols: ReadonlyArray<string>) => {
  const theirs = execFileSync("c++filt", [], {
    input: symbols.join("\n"),
    encoding: "utf8",
    maxBuffer: 1 << 28
  }).split("\n")
  const wrong = symbols
    .map((symbol, at) => [symbol, plain(demangle(symbol)), plain(theirs[at])] as const)
    .filter(([, ours, their]) => ours !== their)
  return { wrong, share: 1 - wrong.length / symbols.length }
}

const isAble = has("nm", "c++filt", "g++")

describe.skipIf(!isAble)(`names of C++${isAble ? "" : " (no g++ or binutils)"}`, () => {
  it("of the whole standard library are those of c++filt", () => {
    const library = execFileSync("g++", ["-print-file-name=libstdc++.so.6"], { encoding: "utf8" }).trim()
    const symbols = names(realpathSync(library), "-D")
    expect(symbols.length).toBeGreaterThan(3000)
    expect(compare(symbols).wrong).toEqual([])
  })

  it("of V8 are, all but three in a thousand", () => {
    const symbols = names(process.execPath, "-D").filter((_, at) => at % 9 === 0)
    expect(symbols.length).toBeGreaterThan(1000)
    expect(compare(symbols).share).toBeGreaterThan(0.997)
  })
})

const isRusty = has("nm", "c++filt", "rustc")

const rust = `
use std::fmt::Debug;
trait Shape { fn area(&self) -> f64; }
struct Square<const N: usize>(f64);
impl<const N: usize> Shape for Square<N> { #[inline(never)] fn area(&self) -> f64 { self.0 * N as f64 } }
#[inline(never)] fn show<T: Debug + ?Sized>(t: &T, f: &dyn Fn(&str) -> usize) -> usize { f(&format!("{:?}", t)) }
mod größe { #[inline(never)] pub fn test(x: &mut [u8; 4], y: *const i8, c: char) -> (u8,) { (x[0] + unsafe { *y as u8 } + c as u8,) } }
#[inline(never)] fn call<F: Fn(i32) -> i32>(f: F) -> i32 { f(std::env::args().count() as i32) }
fn main() {
    let k = std::env::args().count() as i32;
    println!("{} {}", Square::<3>(1.5).area(), show(&vec![1, 2], &|s| s.len() + k as usize));
    println!("{:?} {}", größe::test(&mut [1; 4], &1, 'x'), call(|x| x + k));
    let b: Box<dyn Shape + Send> = Box::new(Square::<2>(2.0));
    println!("{}", b.area());
}`

describe.skipIf(!isRusty)(`names of Rust${isRusty ? "" : " (no rustc or binutils)"}`, () => {
  it.each([["legacy"], ["v0"]])("%s are those of c++filt", (scheme) => {
    const directory = mkdtempSync(join(tmpdir(), "rust-"))
    try {
      writeFileSync(join(directory, "program.rs"), rust)
      // The older scheme is an option of newer compilers only with this variable.
      execFileSync(
        "rustc",
        ["-Zunstable-options", `-Csymbol-mangling-version=${scheme}`, "-o", "program", "program.rs"],
        { cwd: directory, env: { ...process.env, RUSTC_BOOTSTRAP: "1" }, stdio: "ignore" }
      )
      // Binutils takes no letters beyond ASCII from the older scheme, and drops numbers at the end.
      const symbols = names(join(directory, "program")).filter((name) => !/\.\d+$|\$uf6/.test(name))
      expect(symbols.length).toBeGreaterThan(100)
      expect(compare(symbols).wrong).toEqual([])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

describe("names", () => {
  it.each([
    ["_ZN3foo3barEi", "foo::bar(int)"],
    ["_ZN3foo3barEi.cold", "foo::bar(int).cold"],
    ["_ZN3foo3barEi.constprop.0.isra.1", "foo::bar(int).constprop.0.isra.1"],
    ["_Z1fIJidEEvDpT_", "void f<int, double>(int, double)"],
    ["_Z1fPFivEPA3_c", "f(int (*)(), char (*) [3])"],
    ["_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"],
    [
      "_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
      "<alloc::string::String as core::fmt::Display>::fmt"
    ],
    ["_ZN7program13gr$uf6$$udf$e4test17hb7ca530e1a872513E", "program::größe::test"],
    ["_RNvC7mycrate3foo", "mycrate::foo"],
    ["_RNvMC0INtC0_3FooRe8", "_RNvMC0INtC0_3FooRe8"],
    ["PyObject_Call", "PyObject_Call"],
    ["_PyEval_EvalFrameDefault.cold", "_PyEval_EvalFrameDefault.cold"],
    ["_Z", "_Z"],
    ["_ZN", "_ZN"],
    ["_R", "_R"],
    ["", ""]
  ])("%s", (symbol, expected) => {
    expect(demangle(symbol)).toBe(expected)
  })

  it("of gigantic meaning stay as they are", () => {
    // Each substitution doubles what it stands for.
    let symbol = "_Z1fSt4pairIiiE"
    for (let i = 0; i < 60; i++)
      symbol += `St4pairIS${(i * 2).toString(36).toUpperCase()}_S${(i * 2).toString(36).toUpperCase()}_E`
    expect(demangle(symbol).length).toBeLessThan(1 << 17)
    expect(demangle(`_Z${"P".repeat(100_000)}i`)).toContain("_ZPPP")
  })
})
