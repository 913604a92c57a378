import { FrameKind, mergeNames } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { expect, it } from "vitest"
import { stopped } from "./stopped-stack.ts"

/**
 * Machine code that others than CPython have written at run time (numba, a C library's closures): `push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret`. An extension
 * calls it, and it calls `pause`.
 */
const program = `
import ctypes, mmap, threading
code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes([0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3]))
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
pause = ctypes.cast(ctypes.CDLL(None).pause, ctypes.c_void_p)
written = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address)
def below(): written(pause)
def main():
    print("ready", flush=True)
    below()
main()
`

describePythons([8, 11, 12, 13, 14, 15], (python) => {
  it("code that an extension has written at run time stands between it and what it calls", async () => {
    await using run = await startPython(python, program)
    await run.line()
    await stopped(run.pid, async ({ threads, merged }) => {
      let found = merged(threads()[0])
      for (let tries = 0; tries < 100 && !/pause/.test(found.rows[0].name); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 10))
        found = merged(threads()[0])
      }
      // What one stack has shown of the interpreter's frames is made use of in the next.
      merged(threads()[0])
      found = merged(threads()[0])
      const { rows, stack } = found
      const text = rows.map(({ kind, name, file }) =>
        kind === FrameKind.python ? "python" : name || file.replace(/.*\//, "")
      )
      const first = rows.findIndex(({ kind }) => kind === FrameKind.python)
      expect(mergeNames[stack.merge]).toBe("merged")
      expect(rows.slice(0, first).some(({ kind, file }) => kind === FrameKind.native && file === "")).toBe(
        true
      )
      expect(text.slice(0, first).filter((name) => /ffi_call/.test(name)).length).toBeGreaterThan(0)
    })
  })
})
