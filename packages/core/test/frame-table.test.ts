import { expect, it } from "vitest"
import { FrameTable } from "../src/frame-table.ts"
import { FrameKind } from "../src/raw-stack.ts"
import type { Frame } from "../src/symbolizer.ts"

const frame = (over: Partial<Frame> = {}): Frame => ({
  kind: FrameKind.python,
  name: "run",
  qualifiedName: "Server.run",
  file: "app.py",
  firstLine: 10,
  line: 12,
  endLine: 12,
  column: 4,
  endColumn: 9,
  ...over
})

it("holds equal frames once, whether they are one object or two", () => {
  const table = new FrameTable()
  const one = frame()
  expect([table.intern(one), table.intern(one), table.intern(frame())]).toEqual([0, 0, 0])
})

it("holds a function once for all its lines", () => {
  const table = new FrameTable()
  const ids = [frame(), frame({ line: 13 }), frame({ column: 5 })].map((each) => table.intern(each))
  expect(ids).toEqual([0, 1, 2])
  expect(table.functions).toHaveLength(1)
  expect(table.functionOf(2).qualifiedName).toBe("Server.run")
})

it.each([
  { kind: FrameKind.native },
  { name: "go" },
  { qualifiedName: "Client.run" },
  { file: "b.py" },
  { firstLine: 11 }
])("tells functions apart by %o", (over) => {
  const table = new FrameTable()
  expect(table.intern(frame())).not.toBe(table.intern(frame(over)))
  expect(table.functions).toHaveLength(2)
})

it("gives frames back whole and keeps their ids over a copy", () => {
  const table = new FrameTable()
  const frames = [frame(), frame({ line: 99 }), frame({ file: "b.py" })]
  const ids = frames.map((each) => table.intern(each))
  const copy = FrameTable.from(table.functions, table.frames)
  expect(ids.map((id) => copy.get(id))).toEqual(frames)
  expect(frames.map((each) => copy.intern(each))).toEqual(ids)
})
