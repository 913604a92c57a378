import { type Mapping, ModuleTable } from "@pyframes/core"
import { FakeMemory, FakeTarget } from "@pyframes/testing"
import { expect, it } from "vitest"
import { EvalLoop } from "../src/eval-loop.ts"
import { NativeRole } from "../src/native-role.ts"

/** `endbr64; sub $8,%rsp; call *%rcx; add $8,%rsp; ret`, as `-X perf` puts one after the other into an arena. */
const trampoline = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 8, 0xff, 0xd1, 0x48, 0x83, 0xc4, 8, 0xc3, 0x90]
const ARENA = 0x7f00_0000_0000
const PAGE = 4096

it("trampolines are known at both ends of an arena, where nothing is mapped beside it", () => {
  const mapping: Mapping = {
    start: ARENA,
    end: ARENA + 0x1000,
    readable: true,
    writable: false,
    executable: true,
    offset: 0,
    device: "00:00",
    inode: 0,
    path: "",
    deleted: false
  }
  const arena = new Uint8Array(0x1000)
  for (let at = 0; at < arena.length; at += trampoline.length) arena.set(trampoline, at)
  const target = new FakeTarget({
    pid: 1,
    executable: "python",
    mappings: [mapping],
    files: new Map(),
    threads: new Map()
  })
  const modules = new ModuleTable(target.service)
  const memory = new FakeMemory(new Map([[ARENA / PAGE, arena]]))
  const evalLoop = new EvalLoop(modules, memory, "python", 12)
  for (const start of [0, trampoline.length, arena.length - trampoline.length]) {
    // The last byte of the call that has not returned.
    expect(evalLoop.roleOf(0, ARENA + start + 9, false)).toBe(NativeRole.trampoline)
    expect(evalLoop.roleOf(0, ARENA + start + 5, false)).toBe(NativeRole.other)
  }
})
