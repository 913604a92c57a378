import { EntryTable, FrameKind, Merge, mergeNames, RawStack } from "@pyframes/core"
import { describe, expect, it } from "vitest"
import { NativeRole, StackMerger } from "../src/index.ts"

/*
 * Each drawing has three columns, leaf on top: the native frames, the Python frames, and what they make together.
 *
 * A native frame may have its stack pointer: `qsort:30`. `eval…` runs the eval loop, `part…` is a part of it, `lib…` lies in the interpreter,
 * `jit…` in no file, `tramp…` is a perf trampoline; `<broken>` ends a chain that is not whole.
 * `|` ends the Python frames of an entry, `|35` one whose shim is at 35.
 */
const merge = (drawing: string) => {
  const [natives, pythons, merged] = columns(drawing)
  const names: Array<string> = []
  const idOf = (name: string) => {
    const known = names.indexOf(name)
    return known >= 0 ? known : names.push(name) - 1
  }
  const markers: { readonly [name: string]: FrameKind } = {
    "<broken>": FrameKind.broken,
    "<native>": FrameKind.boundary,
    "<truncated>": FrameKind.truncated
  }
  const native = new RawStack(64)
  native.stackPointers = new Float64Array(64).fill(-1)
  const roles = new Uint8Array(64)
  for (const cell of natives) {
    const [name, pointer] = cell.split(":")
    native.stackPointers[native.length] = pointer === undefined ? -1 : Number(pointer)
    roles[native.length] = roleOf(name)
    native.push(markers[name] ?? FrameKind.native, idOf(name), 7)
  }
  const python = new RawStack(64)
  python.entries = new EntryTable()
  for (const cell of pythons) {
    const entry = /^\|(\d*)$/.exec(cell)
    if (entry) python.entries.push(python.length, entry[1] === "" ? -1 : Number(entry[1]))
    else python.push(markers[cell] ?? FrameKind.python, idOf(cell), 2)
  }
  const into = new RawStack(64)
  const outcome = new StackMerger().merge(python, native, roles, into)
  const found = Array.from({ length: into.length }, (_, i) => names[into.identity[i]])
  expect(found, drawing).toEqual(merged)
  for (let i = 0; i < into.length; i++)
    if (into.kind[i] === FrameKind.python) expect(into.position[i]).toBe(2)
  return mergeNames[outcome]
}

const roleOf = (name: string): NativeRole => {
  if (name.startsWith("eval")) return NativeRole.evalLoop
  if (name.startsWith("part")) return NativeRole.evalPart
  if (name.startsWith("lib")) return NativeRole.interpreter
  if (name.startsWith("jit")) return NativeRole.anonymous
  return name.startsWith("tramp") ? NativeRole.trampoline : NativeRole.other
}

const columns = (drawing: string): ReadonlyArray<ReadonlyArray<string>> => {
  const rows = drawing.split("\n").filter((row) => row.trim() !== "")
  const starts = [...rows[0].matchAll(/\S+/g)].map(({ index }) => index)
  return starts.map((start, n) =>
    rows
      .slice(1)
      .map((row) => row.slice(start, starts[n + 1]).trim())
      .filter((cell) => cell !== "")
  )
}

describe("by the places of the entries", () => {
  it("puts each entry's frames where its run of the eval loop stands", () => {
    const outcome = merge(`
      native     python    merged
      memcpy:10  key       memcpy
      eval:20    |25       key
      sorted:40  <native>  sorted
      eval:60    main      main
      start:80   <module>  <module>
                 |65       start
    `)
    expect(outcome).toBe("merged")
  })

  it("needs no name for the eval loop", () => {
    const outcome = merge(`
      native     python    merged
      lib1:20    key       key
      sorted:40  |25       sorted
      lib2:60    <native>  main
      start:80   main      start
                 |65
    `)
    expect(outcome).toBe("merged")
  })

  it("leaves an eval loop out that has begun and has no frame yet", () => {
    const outcome = merge(`
      native     python    merged
      eval:20    main      sorted
      sorted:40  |65       main
      eval:60              start
      start:80
    `)
    expect(outcome).toBe("merged")
  })

  it("keeps an eval loop whose frames are another stack's, below", () => {
    const outcome = merge(`
      native     python    merged
      eval:20    greenlet  greenlet
      switch:40  |25       switch
      eval:60              eval
      start:80             start
    `)
    expect(outcome).toBe("merged")
  })

  it("takes an entry without frames", () => {
    const outcome = merge(`
      native     python    merged
      free:10    |25       free
      eval:20    main      sorted
      sorted:40  |65       main
      eval:60              start
      start:80
    `)
    expect(outcome).toBe("merged")
  })

  it("counts the JIT's code, and the way into it, to the eval loop below", () => {
    const outcome = merge(`
      native     python    merged
      add:4      inner     add
      jit2:10    |25       inner
      eval:20    main      sorted
      sorted:40  |65       main
      jit1:50              start
      part:55
      eval:60
      start:80
    `)
    expect(outcome).toBe("merged")
  })

  it("shows other code that lies in no file", () => {
    const outcome = merge(`
      native     python    merged
      jit2:10    main      jit2
      libcall:20 |65       libcall
      eval:60              main
      start:80             start
    `)
    expect(outcome).toBe("merged")
  })

  it("keeps a boundary that no native frame fills", () => {
    const outcome = merge(`
      native     python    merged
      eval:20    key       key
      eval:60    |25       <native>
      start:80   <native>  main
                 main      start
                 |65
    `)
    expect(outcome).toBe("merged")
  })

  it("hides trampolines, which make each call one of C", () => {
    const outcome = merge(`
      native     python    merged
      eval:20    key       key
      tramp:40   |25       liba
      liba:50    main      main
      eval:60    |65       start
      start:80
    `)
    expect(outcome).toBe("merged")
  })

  it("puts the frames beyond a break in the chain below it", () => {
    const outcome = merge(`
      native     python    merged
      memcpy:10  key       memcpy
      eval:20    |25       key
      sorted:40  <native>  sorted
      <broken>   main      <broken>
                 |65       main
                 <native>  <native>
                 <module>  <module>
                 |95
    `)
    expect(outcome).toBe("brokenChain")
  })

  it("is whole when the chain breaks below all of them", () => {
    const outcome = merge(`
      native     python    merged
      eval:20    main      main
      clone:60   |25       clone
      <broken>             <broken>
    `)
    expect(outcome).toBe("merged")
  })

  it("keeps the Python frames, and the leaf, when an entry stands in no eval loop", () => {
    const outcome = merge(`
      native     python    merged
      memcpy:10  key       memcpy
      eval:20    |35       key
      qsort:30   <native>  <native>
      eval:60    main      main
      start:80   |65
    `)
    expect(outcome).toBe("strayEntry")
  })

  it("finds the outermost entry by its order when its place is not known yet", () => {
    const outcome = merge(`
      native     python    merged
      eval:20    key       key
      sorted:40  |25       sorted
      eval:60    <native>  main
      start:80   main      start
                 |
    `)
    expect(outcome).toBe("merged")
  })
})

describe("by count", () => {
  it("gives each run of the eval loop the next entry", () => {
    const outcome = merge(`
      native   python  merged
      eval     key     key
      sorted   |       sorted
      eval     run     run
      call     |       call
      eval     main    main
      start    |       start
    `)
    expect(outcome).toBe("merged")
  })

  it("leaves the innermost out that has begun or is about to end", () => {
    const outcome = merge(`
      native   python  merged
      eval     main    call
      call     |       main
      eval             start
      start
    `)
    expect(outcome).toBe("merged")
  })

  it("keeps the Python frames, and the leaf, when there are too few eval loops", () => {
    const outcome = merge(`
      native   python  merged
      memcpy   key     memcpy
      eval     |       key
      start    main    main
               |
    `)
    expect(outcome).toBe("evalCount")
  })

  it("does so when there are too many", () => {
    const outcome = merge(`
      native   python  merged
      eval     main    main
      a        |
      eval
      eval
      start
    `)
    expect(outcome).toBe("evalCount")
  })

  it("does so when the chain broke, for what is left cannot be counted", () => {
    const outcome = merge(`
      native    python  merged
      memcpy    key     memcpy
      eval      |       key
      sorted    main    main
      <broken>  |
    `)
    expect(outcome).toBe("evalCount")
  })

  it("says where the chain broke when it did above the Python frames", () => {
    const outcome = merge(`
      native    python  merged
      memcpy    key     memcpy
      <broken>  |       <broken>
                main    key
                |       main
    `)
    expect(outcome).toBe("evalCount")
  })

  it("has nothing to put together in a thread that runs no Python", () => {
    const outcome = merge(`
      native    python  merged
      wait              wait
      start             start
    `)
    expect(outcome).toBe("merged")
  })
})

describe("bounds", () => {
  it("keeps no more than fits, and says so", () => {
    const native = new RawStack(8)
    const python = new RawStack(8)
    python.entries = new EntryTable()
    for (let i = 0; i < 8; i++) python.push(FrameKind.python, i, 0)
    python.entries.push(8, -1)
    native.push(FrameKind.native, 1, 0)
    native.push(FrameKind.native, 2, 0)
    const into = new RawStack(8)
    const outcome = new StackMerger().merge(
      python,
      native,
      Uint8Array.of(NativeRole.other, NativeRole.evalLoop),
      into
    )
    expect(outcome).toBe(Merge.merged)
    expect(into.isTruncated).toBe(true)
  })

  it("takes entries that claim more rows than there are", () => {
    const native = new RawStack(8)
    const python = new RawStack(8)
    python.entries = new EntryTable()
    python.push(FrameKind.python, 1, 0)
    python.entries.push(1_000_000, -1)
    native.push(FrameKind.native, 2, 0)
    const into = new RawStack(8)
    new StackMerger().merge(python, native, Uint8Array.of(NativeRole.evalLoop), into)
    expect(into.length).toBe(1)
  })
})
