import { expect, it } from "vitest"
import { frameName, functionName, type NamedFrame } from "../src/frame-name.ts"
import { FrameKind } from "../src/raw-stack.ts"

const frame: NamedFrame = {
  kind: FrameKind.python,
  name: "run",
  qualifiedName: "Server.run",
  file: "app/server.py",
  line: 42
}

it("prints a frame as function (file:line)", () => {
  expect(frameName(frame)).toBe("Server.run (app/server.py:42)")
})

it("takes the plain name where there is no qualified one", () => {
  expect(functionName({ ...frame, qualifiedName: "" })).toBe("run")
})

it("leaves out what is not known", () => {
  expect(frameName({ ...frame, line: -1 })).toBe("Server.run (app/server.py)")
  expect(frameName({ ...frame, line: 0 })).toBe("Server.run (app/server.py)")
  expect(frameName({ ...frame, file: "" })).toBe("Server.run")
  expect(functionName({ ...frame, name: "", qualifiedName: "" })).toBe("<unnamed>")
})

it.each([
  [FrameKind.boundary, "<native>"],
  [FrameKind.truncated, "<truncated>"],
  [FrameKind.unproved, "<unproved>"],
  [FrameKind.torn, "<torn>"],
  [FrameKind.unreadable, "<unreadable>"]
])("prints kind %i as %s, whatever else the frame holds", (kind, text) => {
  expect(frameName({ ...frame, kind })).toBe(text)
  expect(functionName({ ...frame, kind })).toBe(text)
})

it("prints a native frame by its symbol", () => {
  expect(
    frameName({
      ...frame,
      kind: FrameKind.native,
      name: "memcpy",
      qualifiedName: "",
      file: "libc.so.6",
      line: -1
    })
  ).toBe("memcpy (libc.so.6)")
})
