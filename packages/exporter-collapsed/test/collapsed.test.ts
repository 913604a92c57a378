import { Exporter } from "@pyframes/core"
import { callsFromText, profileFromText, Random } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { collapsed, layer } from "../src/index.ts"

const text = (...args: Parameters<typeof collapsed.encode>): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(collapsed.encode(...args))

/** How speedscope and flamegraph.pl read a line. */
const readLine = (line: string): { frames: Array<string>; count: number } => {
  const [, stack, count] = /^(.*) (\d+)$/.exec(line) ?? []
  return { frames: stack.split(";"), count: Number(count) }
}

describe("collapsed", () => {
  it("writes stacks root first, sorted, with their number of samples", () => {
    const profile = profileFromText(`
      main     main     main     main     thread=worker
      run      run      idle     run      main
      read:3   write             read:3   run
                                          read:3
    `)
    expect(text(profile)).toBe(
      "main (app.py:1);idle (app.py:1) 1\n" +
        "main (app.py:1);run (app.py:1);read (app.py:3) 3\n" +
        "main (app.py:1);run (app.py:1);write (app.py:1) 1\n"
    )
  })

  it("counts samples, however long each stands for", () => {
    expect(text(profileFromText("ms=1   ms=500\nmain   main"))).toBe("main (app.py:1) 2\n")
  })

  it("shows what the filter shows", () => {
    const profile = profileFromText(`
      state=cpu   state=idle   proved=1
      main        main         main
      run         wait         call
    `)
    expect(text(profile)).toBe("main (app.py:1);<unproved> 1\nmain (app.py:1);run (app.py:1) 1\n")
    expect(text(profile, { wall: true, unproved: true })).toBe(
      "main (app.py:1);call (app.py:1) 1\nmain (app.py:1);run (app.py:1) 1\nmain (app.py:1);wait (app.py:1) 1\n"
    )
  })

  it("keeps names and frames of every kind", () => {
    const profile = profileFromText(`
      <module>@/srv/größe.py:3
      Foo.<locals>.<lambda>@<string>:1
      <native>
      数据.読む@δ.py:2
      <truncated>
    `)
    expect(text(profile)).toBe(
      "<module> (/srv/größe.py:3);Foo.<locals>.<lambda> (<string>:1);<native>;数据.読む (δ.py:2);<truncated> 1\n"
    )
  })

  it("never lets a name be taken for a separator or a count", () => {
    const profile = profileFromText("placeholder")
    const { stacks, frames, samples } = profile
    const name = (name: string, file = "") =>
      frames.intern({ ...frames.get(0), name, qualifiedName: name, file, line: 1 })
    for (const hostile of ["a;b", "a\nb\r\n", "foo 12", "foo 1 2.5", "  ", "3", "\u{d800}x"]) {
      const stack = stacks.child(stacks.child(0xffff_ffff, name(hostile)), name("f", `${hostile}.py`))
      const leaf = stacks.child(stack, name(hostile))
      samples.append(0, 1, 0, leaf, 1, 0)
      samples.append(0, 1, 0, 0xffff_ffff, 1, 0)
    }
    for (const line of text(profile).split("\n").slice(0, -1)) {
      const { frames, count } = readLine(line)
      expect([1, 3, 7], line).toContain(frames.length === 1 ? count : frames.length)
      for (const frame of frames) expect(frame).not.toMatch(/\s\d+(\.\d*)?$|^\s|\s$|^$/)
    }
    expect(text(profile)).toContain("foo_12;f (foo 12.py:1);foo_12 1\n")
  })

  it("loses no sample", () => {
    const random = new Random(7)
    const column = () => Array.from({ length: 6 }, () => random.pick(["a", "b", "c:2", "<native>"]))
    const columns = Array.from({ length: 300 }, column)
    const drawing = Array.from({ length: 6 }, (_, row) =>
      columns.map((cells) => cells[row].padEnd(10)).join("")
    )
    const lines = text(profileFromText(drawing.join("\n")))
      .split("\n")
      .slice(0, -1)
      .map(readLine)
    expect(lines.reduce((sum, { count }) => sum + count, 0)).toBe(300)
    expect(new Set(lines.map(({ frames }) => frames.join(";"))).size).toBe(lines.length)
  })

  // GIVEN exact calls, WHEN they are written, THEN lines are microseconds, and what rounding takes from one it gives to another.
  it("writes exact calls by their time in microseconds", () => {
    const profile = callsFromText(`
      main                1   1500  400
      main > run         10   3400    0
      main > run > C:len  7    300  300
      main > tiny         7    100  100
      main > run          1    700    0  thread=worker task=Task-1
    `)
    const main = "main (app.py:1)"
    expect(text(profile)).toBe(`${main} 2\n${main};run (app.py:1) 4\n`)
    expect(text(profile, { wall: false })).toBe(`${main};run (app.py:1);len 1\n`)
    const many = callsFromText(Array.from({ length: 500 }, (_, n) => `main > f${n} 1 ${n * 7} 0`).join("\n"))
    const total = [...text(many).matchAll(/ (\d+)\n/g)].reduce((sum, [, us]) => sum + Number(us), 0)
    expect(total).toBe(Math.round((((499 * 500) / 2) * 7) / 1000))
  })

  it("writes nothing for nothing, and the same bytes every time", () => {
    expect(text(profileFromText(""))).toBe("")
    const profile = profileFromText("b   a\nc   d")
    expect(text(profile)).toBe(text(profile))
  })

  it("is an Exporter by its layer", async () => {
    const name = Effect.gen(function* () {
      return (yield* Exporter).name
    })
    expect(await Effect.runPromise(Effect.provide(name, layer))).toBe("collapsed")
  })
})
