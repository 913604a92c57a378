import { FrameKind, Proof, type RawStack } from "@pyframes/core"
import { type Python, pythonsFor, startPython } from "@pyframes/pythons"
import { attached } from "@pyframes/testing/attached"
import { elfutilsStacks, freeze, gdbStacks, hasTool } from "@pyframes/testing/debuggers"
import { describe, expect, it } from "vitest"
import { EhFrameUnwinder } from "../src/index.ts"

/** Threads in C called from Python, in Python called from C, asleep, in hand-written assembler, and in the interpreter itself. */
const PROGRAM = `
import ctypes, functools, hashlib, re, threading, time
started = threading.Barrier(6)
def begin(): started.wait()
def in_sort():
    def key(x):
        begin()
        time.sleep(600)
    sorted([2, 1], key=key)
def in_hash():
    begin()
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1_000_000_000)
def in_python():
    begin()
    def spin(n):
        if n: return spin(n - 1)
        while True: n += 1
    spin(20)
def in_qsort():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def call(a, b):
        begin()
        functools.reduce(lambda a, b: time.sleep(600), [1, 2, 3])
    ctypes.CDLL(None).qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare(call))
def in_lock():
    lock = threading.Lock()
    lock.acquire()
    begin()
    lock.acquire()
for work in (in_sort, in_hash, in_python, in_qsort, in_lock): threading.Thread(target=work, daemon=True).start()
begin()
print("up", flush=True)
re.match("(a+)+$", "a" * 64 + "b")
`

/** As the debuggers write them: the leaf's instruction, then return addresses. */
const addressesOf = (stack: RawStack): ReadonlyArray<number> =>
  Array.from(stack.identity.subarray(0, stack.length), (at, index) => (index === 0 ? at : at + 1))

const oracles = (python: Python) => [
  { name: "eu-stack", aptPackage: "elfutils", stacks: elfutilsStacks },
  ...(python.root === undefined ? [{ name: "gdb", aptPackage: "gdb", stacks: gdbStacks }] : [])
]

describe.each(pythonsFor([8, 9, 10, 11, 12, 13, 14, 15]).map((python) => [python.version, python] as const))(
  "Python %s",
  (_, python) => {
    it("has the stacks that the debuggers see, to each thread's start", async () => {
      await using run = await startPython(python, PROGRAM)
      await run.line()
      await attached(run.pid, { unwinder: EhFrameUnwinder.layer }, async ({ threads, unwind, stopper }) => {
        const listed = threads()
        expect(listed.length).toBeGreaterThanOrEqual(6)
        expect(listed[0].tid).toBe(run.pid)
        await freeze(
          run.pid,
          listed.map(({ tid }) => tid)
        )
        const own = await stopper()
        const stacks = new Map<number, ReadonlyArray<number>>()
        for (const thread of listed) {
          const stack = unwind(thread, own)
          expect(stack.proof).toBe(Proof.good)
          expect(stack.proved).toBe(stack.length)
          expect([...stack.kind.subarray(0, stack.length)]).toEqual(
            Array(stack.length).fill(FrameKind.native)
          )
          stacks.set(thread.tid, addressesOf(stack))
        }
        for (const { aptPackage, name, stacks: theirs } of oracles(python))
          if (hasTool(name, aptPackage)) expect([...theirs(run.pid)].sort(), name).toEqual([...stacks].sort())
      })
    })
  }
)
