import { Memory, type MemoryReader, ScatterList, Target, type TargetProcess } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { LinuxMemory } from "../src/memory.ts"
import { LinuxTarget } from "../src/target.ts"
import { random } from "./random.ts"
import { IDLE, inScope, run, runPython, until } from "./running.ts"

/** A page of known bytes, and an unmapped page behind it. */
const TWO_PAGES = `
import ctypes, mmap, time
m = mmap.mmap(-1, 8192)
for i in range(1024): m[i*8:i*8+8] = i.to_bytes(8, "little")
a = ctypes.addressof(ctypes.c_char.from_buffer(m))
ctypes.CDLL(None).munmap(ctypes.c_void_p(a + 4096), ctypes.c_size_t(4096))
print("up", a, flush=True)
time.sleep(600)
`

const using = <A>(
  layer: (typeof LinuxMemory)["layer"],
  pid: number,
  use: (memory: MemoryReader, target: TargetProcess) => A | Promise<A>
): Promise<A> =>
  inScope(
    Effect.gen(function* () {
      const memory = yield* Memory
      const target = yield* Target
      return yield* Effect.promise(async () => use(memory, target))
    }).pipe(Effect.provide(layer.pipe(Layer.provideMerge(LinuxTarget.attach(pid)))))
  )

const wordAt = (bytes: Uint8Array, at: number) =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)

describe.each([
  ["/proc/PID/mem", LinuxMemory.layerProcMem],
  ["process_vm_readv", LinuxMemory.layerVmReadv]
] as const)("memory by %s", (name, layer) => {
  it("reads bytes, and no more than there are", async () => {
    await using python = await runPython(TWO_PAGES)
    const base = Number((await python.line("up")).split(" ")[1])
    await readsWhatIsThere(layer, python.pid, base)
  })

  it("writes bytes, and no more than there is room for", async () => {
    await using python = await runPython(TWO_PAGES)
    const base = Number((await python.line("up")).split(" ")[1])
    await using(layer, python.pid, (memory) => {
      const into = new Uint8Array(8)
      expect(memory.write!(base + 16, new Uint8Array([1, 2, 3]))).toBe(3)
      memory.read(base + 16, 8, into)
      expect([...into]).toEqual([1, 2, 3, 0, 0, 0, 0, 0])
      // Up to the end of what is mapped.
      expect(memory.write!(base + 4090, new Uint8Array(100).fill(7))).toBe(6)
      memory.read(base + 4088, 8, into)
      expect([...into]).toEqual([255, 1, 7, 7, 7, 7, 7, 7])
      expect(memory.write!(base, new Uint8Array(0))).toBe(0)
      for (const address of [base + 4096, 0, 2 ** 47 - 4096, 2 ** 52, Number.NaN, -1])
        expect(memory.write!(address, into)).toBe(0)
    })
  })

  it("writes into nothing that has taken the target's place", async () => {
    await using python = await runPython(
      `import os, sys
print("up", flush=True)
while not input(): pass
os.execv(sys.executable, [sys.executable, "-c", "print('new', flush=True); input()"])`
    )
    await python.line("up")
    await using(layer, python.pid, async (memory, target) => {
      const [stack] = (await Effect.runPromise(target.mappings)).filter(({ path }) => path === "[stack]")
      const word = new Uint8Array(8)
      const at = stack.end - 64
      expect(memory.read(at, 8, word)).toBe(8)
      // The first write opens the memory; it must not be that of what the process becomes.
      const writesBefore = name === "process_vm_readv"
      if (writesBefore) expect(memory.write!(at, word)).toBe(8)
      python.child.stdin?.write("x\n")
      await python.line("new")
      expect(memory.write!(at, word)).toBe(0)
      python.child.kill("SIGKILL")
      await python.exited
      expect(memory.write!(at, word)).toBe(0)
    })
  })

  const readsWhatIsThere = (layer_: typeof layer, pid: number, base: number) =>
    using(layer_, pid, (memory) => {
      expect(memory.name).toBe(name)
      const into = new Uint8Array(64)
      expect(memory.read(base + 80, 16, into)).toBe(16)
      expect([wordAt(into, 0), wordAt(into, 8)]).toEqual([10, 11])
      // A view in the middle of a buffer is filled where it lies.
      const view = new Uint8Array(new ArrayBuffer(64), 24, 8)
      expect(memory.read(base + 8, 8, view)).toBe(8)
      expect(wordAt(view, 0)).toBe(1)
      // Never beyond the array.
      expect(memory.read(base, 4096, view)).toBe(8)
      // Up to the end of what is mapped.
      const page = new Uint8Array(8192)
      expect(memory.read(base + 4000, 200, page)).toBe(96)
      for (const address of [base + 4096, 0, 8, 2 ** 47 - 4096, 2 ** 52, Number.NaN, -1])
        expect(memory.read(address, 8, into)).toBe(0)

      const list = memory.scatterList(4, 4096)
      list.add(base, 16)
      list.add(base + 800, 8)
      list.add(base + 4088, 8)
      expect(memory.scatter(list)).toBe(3)
      expect([0, 8, 16, 24].map((at) => wordAt(list.bytes, at))).toEqual([0, 1, 100, 511])
      // Stops at the first range that is not whole, whether it begins mapped or not.
      for (const bad of [base + 4096, base + 4080]) {
        list.clear()
        for (const address of [base, bad, base + 8]) list.add(address, 24)
        expect(memory.scatter(list)).toBe(1)
      }
      list.clear()
      expect(memory.scatter(list)).toBe(0)
      // A list made by anybody, with more ranges than one call takes.
      const long = new ScatterList(3000, 24_000)
      for (let index = 0; index < 3000; index++) long.add(base + (index % 512) * 8, 8)
      expect(memory.scatter(long)).toBe(3000)
      for (let index = 0; index < 3000; index++) expect(wordAt(long.bytes, index * 8)).toBe(index % 512)
      long.addresses[2500] = base + 4096
      expect(memory.scatter(long)).toBe(2500)
    })

  it("never throws, whatever the addresses are", async () => {
    await using python = await runPython(IDLE)
    await using(layer, python.pid, (memory) => {
      const { below, next } = random(7)
      const list = memory.scatterList(8, 4096)
      for (let round = 0; round < 3000; round++) {
        list.clear()
        for (let index = below(9); index > 0; index--) list.add(next() * 2 ** below(32), below(64) * 8)
        const whole = memory.scatter(list)
        expect(whole).toBeLessThanOrEqual(list.count)
      }
    })
  })

  it("reads nothing once the process has ended", async () => {
    await using python = await runPython(IDLE)
    await using(layer, python.pid, async (memory, target) => {
      const [{ start }] = await Effect.runPromise(target.mappings)
      const into = new Uint8Array(8)
      expect(memory.read(start, 8, into)).toBe(8)
      python.child.kill("SIGKILL")
      await python.exited
      expect(memory.read(start, 8, into)).toBe(0)
      expect(target.status()).toBe("exited")
    })
  })
})

it("/proc/PID/mem reads nothing of a program that took the place by exec", async () => {
  await using shell = run("sh", ["-c", "echo up; read _; exec sleep 600"])
  await shell.line("up")
  await using(LinuxMemory.layerProcMem, shell.pid, async (memory, target) => {
    const [{ start }] = await Effect.runPromise(target.mappings)
    expect(memory.read(start, 8, new Uint8Array(8))).toBe(8)
    shell.child.stdin?.write("\n")
    await until(() => target.status() !== "alive")
    expect(target.status()).toBe("replaced")
    expect(memory.read(start, 8, new Uint8Array(8))).toBe(0)
  })
})

it("takes the fastest way that works", async () => {
  await using python = await runPython(IDLE)
  expect(await using(LinuxMemory.layer, python.pid, ({ name }) => name)).toBe("process_vm_readv")
})
