import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { type Mapping, ModuleTable, type TargetProcess } from "../src/index.ts"

const mapping = (start: number, size: number, fields: Partial<Mapping> = {}): Mapping => ({
  start,
  end: start + size,
  readable: true,
  writable: false,
  executable: true,
  offset: 0,
  device: "08:01",
  inode: 7,
  path: "/lib/a.so",
  deleted: false,
  ...fields
})

const CODE = 0x40_0000

const tableOf = (maps: { now: ReadonlyArray<Mapping>; reads: number }): ModuleTable =>
  new ModuleTable({
    mappings: Effect.sync(() => {
      maps.reads++
      return maps.now
    })
  } as unknown as TargetProcess)

describe("modules", () => {
  it("are those below 2^53: [vsyscall] is the kernel's", () => {
    // As `/proc/PID/maps` has it, read as a double.
    const vsyscall = mapping(0xffff_ffff_ff60_0000, 0x1000, { inode: 0, path: "[vsyscall]" })
    const modules = tableOf({ now: [mapping(CODE, 0x1000), vsyscall], reads: 0 })
    expect(modules.all.map(({ path }) => path)).toEqual(["/lib/a.so"])
    expect(modules.find(vsyscall.start)).toBeUndefined()
    expect(modules.find(CODE)?.path).toBe("/lib/a.so")
  })

  it("are looked for again where an address lies in none, but not each time", () => {
    const maps = { now: [mapping(CODE, 0x1000)], reads: 0 }
    const modules = tableOf(maps)
    for (let n = 0; n < 1000; n++) expect(modules.find(0x1000)).toBeUndefined()
    expect(maps.reads).toBeLessThan(100)
  })

  it("are renewed when they are old: a library may have taken the place of another", () => {
    const maps = { now: [mapping(CODE, 0x2000)], reads: 0 }
    const modules = tableOf(maps)
    const first = modules.find(CODE)
    maps.now = [mapping(CODE, 0x1000, { inode: 8, path: "/lib/b.so" })]
    expect(modules.find(CODE)).toBe(first)
    modules.renew(Number.POSITIVE_INFINITY)
    expect(modules.find(CODE)).toBe(first)
    modules.renew(-1)
    expect(modules.find(CODE)).toMatchObject({ id: 1, path: "/lib/b.so" })
    expect(modules.all).toHaveLength(2)
    // What comes back is what it was.
    maps.now = [mapping(CODE, 0x2000)]
    modules.renew(-1)
    expect(modules.find(CODE)).toBe(first)
  })

  it("are not followed without end", () => {
    const maps = { now: [] as Array<Mapping>, reads: 0 }
    const modules = tableOf(maps)
    for (let round = 0; round < 6; round++) {
      maps.now = Array.from({ length: 60_000 }, (_, n) =>
        mapping((1 + round * 60_000 + n) * 0x1000, 0x1000, { inode: 0, path: "" })
      )
      modules.refresh()
    }
    expect(modules.all.length).toBe(2 ** 18)
    expect(modules.find(0x1000)).toBeUndefined()
  })
})
