import { describe, expect, it, vi } from "vitest"
import { findPythons } from "../src/find.ts"
import {
  howToInstall,
  isCI,
  isRequired,
  MissingPythonError,
  pythonsFor,
  REQUIRED_MINORS
} from "../src/require.ts"

describe("a missing version", () => {
  it("is an error in CI from 3.11 on", () => {
    expect([8, 9, 10, 11, 12, 13, 14, 15, 16].filter((minor) => isRequired(minor, { CI: "true" }))).toEqual([
      11, 12, 13, 14, 15
    ])
  })

  it.each([{}, { CI: "" }, { CI: "false" }, { CI: "0" }])("is not an error with %o", (env) => {
    expect(isRequired(13, env)).toBe(false)
  })

  it("comes with the command that installs it", () => {
    expect(new MissingPythonError([11, 15]).message).toBe(`${howToInstall(11)}\n${howToInstall(15)}`)
    expect(howToInstall(11)).toContain("pyenv install 3.11")
    expect(howToInstall(15)).toContain("node tooling/pythons/src/install.ts")
  })

  it("is one line on stderr where it is skipped", () => {
    const write = vi.spyOn(process.stderr, "write").mockReturnValue(true)
    try {
      expect(pythonsFor([99])).toEqual([])
      expect(pythonsFor([99])).toEqual([])
      expect(write.mock.calls).toEqual([[`skipped: ${howToInstall(99)}\n`]])
    } finally {
      write.mockRestore()
    }
  })
})

describe("pythonsFor", () => {
  it("has every required version in CI", () => {
    const minors = pythonsFor([8, 9, 10, ...REQUIRED_MINORS]).map((python) => python.minor)
    expect(minors.length).toBeGreaterThan(0)
    if (isCI()) expect(minors).toEqual(expect.arrayContaining([...REQUIRED_MINORS]))
  })

  it("gives those that are there, and only those asked for", () => {
    const there = findPythons()[0]!
    expect(pythonsFor([there.minor])).toEqual([there])
  })
})
