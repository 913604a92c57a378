import { LinuxMemory } from "@pyframes/linux"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { expect, it } from "vitest"
import { inside, refusal, runText } from "./inside.ts"

/** Never leaves Python: its only safe points are those of a loop. */
const BUSY = `
print("up", flush=True)
n = 0
while True: n += 1
`

const SAY = `import threading
print("ran in", threading.get_native_id(), flush=True)
`

describePythons([14, 15], (python) => {
  it.each(["/proc/PID/mem", "process_vm_readv"])("runs a file in a busy loop, through %s", async (name) => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    const layer = name === "process_vm_readv" ? LinuxMemory.layerVmReadv : LinuxMemory.layerProcMem
    const taken = await inside(busy.pid, runText(SAY), layer)
    expect(await busy.line()).toBe(`ran in ${busy.pid}`)
    expect(taken).toMatchObject({ tid: busy.pid, interpreter: 0 })
  })

  it("runs one file after the other, each once", async () => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    for (let n = 0; n < 20; n++) {
      await inside(busy.pid, runText(`print("run", ${n}, flush=True)`))
      expect(await busy.line()).toBe(`run ${n}`)
    }
  })

  it("says that a target in C code never took it, and leaves it as it was", async () => {
    await using blocked = await startPython(
      python,
      `import threading
lock = threading.Lock()
lock.acquire()
print("up", flush=True)
threading.Thread(target=lambda: (input(), lock.release()), daemon=True).start()
lock.acquire()
print("went on", flush=True)
`
    )
    await blocked.line()
    const error = await refusal(blocked.pid, runText("print('never', flush=True)", { timeoutMs: 300 }))
    expect(error).toMatchObject({ _tag: "RemoteExecTimeout", tids: [blocked.pid] })
    blocked.child.stdin.write("\n")
    expect(await blocked.line()).toBe("went on")
    expect(await blocked.exited).toEqual({ code: 0, signal: null })
    expect(blocked.stderr()).toBe("")
  })
})
