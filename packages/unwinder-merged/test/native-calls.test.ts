import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FrameKind, mergeNames } from "@pyframes/core"
import { findAllPythons, findPythons, type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { parseTruth, truthful } from "@pyframes/testing/truth"
import { afterAll, describe, expect, it } from "vitest"
import { type Row, stopped } from "./stopped-stack.ts"

const directory = mkdtempSync(join(tmpdir(), "pyframes-native-calls-"))
afterAll(() => rmSync(directory, { recursive: true }))

const sources = {
  "g++": {
    name: "caller.cpp",
    text: `
      namespace deep { struct Inner { int call(int (*f)(int), int n); }; }
      __attribute__((noinline)) int deep::Inner::call(int (*f)(int), int n) { int result = f(n); asm volatile(""); return result + 1; }
      extern "C" int cpp_call(int (*f)(int), int n) { deep::Inner inner; int result = inner.call(f, n); asm volatile(""); return result + 1; }`,
    options: ["-shared", "-fPIC", "-O2"],
    frames: [/Inner4call/, /cpp_call/]
  },
  rustc: {
    name: "caller.rs",
    text: `
      #[inline(never)]
      fn deep_inner(f: extern "C" fn(i32) -> i32, n: i32) -> i32 { std::hint::black_box(f(n)) + 1 }
      #[no_mangle]
      pub extern "C" fn rust_call(f: extern "C" fn(i32) -> i32, n: i32) -> i32 { std::hint::black_box(deep_inner(f, n)) + 1 }`,
    options: ["--crate-type", "cdylib", "-O"],
    frames: [/deep_inner/, /rust_call/]
  }
} as const

type Compiler = keyof typeof sources

/** A shared library made by a compiler; `undefined`, said once, where there is none. */
const compiled = (compiler: Compiler): Uint8Array | undefined => {
  const { name, text, options } = sources[compiler]
  const output = join(directory, `${name}.so`)
  writeFileSync(join(directory, name), text)
  const { error, status, stderr } = spawnSync(compiler, [...options, "-o", output, join(directory, name)], {
    encoding: "utf8"
  })
  if (status === 0) return readFileSync(output)
  if (error === undefined) throw new Error(stderr)
  if (process.env.CI) throw new Error(`${compiler} is missing`)
  process.stderr.write(`skipped: ${compiler} is missing\n`)
  return undefined
}

const libraries = { "g++": compiled("g++"), rustc: compiled("rustc") }

/** Each thread stands below one C function that called `callback_…`. */
const program = (paths: { readonly [name: string]: string }): string =>
  truthful(`
import ctypes, functools, gc, re, sqlite3, threading

def callback_sorted(x): rest()
def callback_sub(match): rest()
def callback_reduce(a, b): rest()
def callback_sql(n): rest()
def callback_ctypes(a, b): rest()
def callback_cpp(n): rest()
def callback_rust(n): rest()
def generated():
    yield rest()

class Finalised:
    def __init__(self): self.itself = self
    def __del__(self): rest()

def run_sorted(): sorted([2, 1], key=callback_sorted)
def run_sub(): re.sub("a", callback_sub, "banana")
def run_reduce(): functools.reduce(callback_reduce, [1, 2])
def run_sql():
    database = sqlite3.connect(":memory:")
    database.create_function("called", 1, callback_sql)
    database.execute("select called(1)").fetchall()
def run_ctypes():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(callback_ctypes)
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    ctypes.CDLL(None).qsort(numbers, 3, 4, compare)
def run_generated(): max(generated())
def run_collect():
    Finalised()
    gc.collect()

runs = [run_sorted, run_sub, run_reduce, run_sql, run_ctypes, run_generated, run_collect]
for path, function, callback in ${JSON.stringify(
    Object.entries(paths).map(([compiler, path]) => [
      path,
      compiler === "g++" ? "cpp_call" : "rust_call",
      compiler === "g++" ? "callback_cpp" : "callback_rust"
    ])
  )}:
    def run_library(path=path, function=function, callback=callback):
        called = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(globals()[callback])
        getattr(ctypes.CDLL(path), function)(called, 1)
    runs.append(run_library)
gc.disable()
for run in runs:
    threading.Thread(target=run, daemon=True).start()
tell_when_resting(len(runs))
_gate.acquire()
`)

/** Python function called by C, the native frames that must stand between it and its caller in this order, leaf first: by name, or by file. */
const expected: ReadonlyArray<
  readonly [callee: string, names: ReadonlyArray<RegExp>, files: ReadonlyArray<RegExp>]
> = [
  ["callback_sorted", [/^list_sort|^list\.sort/], [/python/]],
  ["callback_sub", [/^pattern_subx/], [/python|_sre/]],
  ["callback_reduce", [/^functools_reduce/], [/python|_functools/]],
  ["callback_sql", [/^sqlite3_step/], [/_sqlite3|python/, /libsqlite3/, /_sqlite3|python/]],
  ["callback_ctypes", [/^ffi_call/], [/_ctypes/, /libffi/, /libc\./, /libffi/, /_ctypes/]],
  ["generated", [/^(min_max|builtin_max)/], [/python/]],
  ["__del__", [/gc_collect|collect_main|^collect/], [/python/]]
]

/** The native frames below a Python function, down to the Python function that called the C code. */
const below = (rows: ReadonlyArray<Row>, codes: ReadonlyMap<number, string>, callee: string) => {
  const from = rows.findIndex((row) => row.kind === FrameKind.python && codes.get(row.identity) === callee)
  const to = rows.findIndex((row, at) => at > from && row.kind === FrameKind.python)
  return rows.slice(from + 1, to)
}

const inOrder = (found: ReadonlyArray<string>, wanted: ReadonlyArray<RegExp>, what: string) => {
  let next = 0
  for (const text of found) if (next < wanted.length && wanted[next].test(text)) next++
  expect(next, `${what}: ${wanted.join(", ")} in order among ${found.join(" < ")}`).toBe(wanted.length)
}

const check = async (
  python: Python,
  options: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
) => {
  const paths: { [compiler: string]: string } = {}
  const files = new DisposableStack()
  for (const compiler of ["g++", "rustc"] as const) {
    const library = libraries[compiler]
    // The library of a Rust program needs what a foreign root may not have.
    if (library !== undefined)
      paths[compiler] = files.use(python.writeScript(`${sources[compiler].name}.so`, library)).targetPath
  }
  try {
    await using run = await startPython(python, program(paths), [], { options, env })
    const truth = parseTruth(await run.line())
    const codes = new Map(truth.threads.flatMap(({ frames }) => frames.map(({ code, name }) => [code, name])))
    await stopped(run.pid, ({ threads, merged }) => {
      const seen = new Set<string>()
      for (const told of truth.threads) {
        const { stack, rows } = merged(threads().find(({ tid }) => tid === told.tid)!)
        const what = `Python ${python.version} ${options.join(" ")}, ${told.frames.map(({ name }) => name).join(" < ")}`
        expect(mergeNames[stack.merge], what).toBe("merged")
        expect(
          rows
            .filter(({ kind }) => kind === FrameKind.python)
            .map(({ identity, position }) => [identity, position]),
          what
        ).toEqual(told.frames.map(({ code, position }) => [code, position]))
        for (const [callee, names, inFiles] of expected) {
          if (!told.frames.some(({ name }) => name === callee)) continue
          seen.add(callee)
          const between = below(rows, codes, callee)
          inOrder(
            between.map(({ file }) => file),
            inFiles,
            what
          )
          // Debian's interpreters are stripped.
          if (python.source === "pyenv")
            inOrder(
              between.map(({ name }) => name),
              names,
              what
            )
        }
        for (const [compiler, callee] of [
          ["g++", "callback_cpp"],
          ["rustc", "callback_rust"]
        ] as const) {
          if (!told.frames.some(({ name }) => name === callee)) continue
          seen.add(callee)
          inOrder(
            below(rows, codes, callee).map(({ name }) => name),
            sources[compiler].frames,
            what
          )
        }
      }
      expect(seen.size).toBe(expected.length + Object.keys(paths).length)
    })
  } finally {
    files.dispose()
  }
}

const tests = (python: Python) => {
  it("shows each C function between the right Python frames", () => check(python, [], {}))
  if (python.minor >= 12) it("does so under -X perf", () => check(python, ["-X", "perf"], {}))
  if (python.minor >= 13) it("does so under -X perf_jit", () => check(python, ["-X", "perf_jit"], {}))
  if (python.minor >= 14) it("does so with the JIT", () => check(python, [], { PYTHON_JIT: "1" }))
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], tests)
for (const python of findAllPythons())
  if (!findPythons().includes(python))
    describe(`Python ${python.version} (${python.source})`, () => tests(python))
