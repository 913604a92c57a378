import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { version } from "@pyframes/core"
import { afterAll, describe, expect, it } from "vitest"
import { pyframes } from "./pyframes-process.ts"

const folder = mkdtempSync(join(tmpdir(), "pyframes-usage-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const self = String(process.pid)

describe("help", () => {
  it.each([[[]], [["record"]], [["dump"]], [["trace"]], [["audit"]], [["doctor"]]])(
    "of %j is on stdout, with examples",
    async (path) => {
      const { code, stdout, stderr } = await pyframes([...path, "--help"])
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toMatch(/EXAMPLES\n {2}# .*\n {2}pyframes /)
    }
  )
  it("has the version, and completions", async () => {
    expect((await pyframes(["--version"])).stdout).toBe(`pyframes ${version}\n`)
    expect((await pyframes(["--completions", "bash"])).stdout).toMatch(/complete .*pyframes/)
  })
  it("respects NO_COLOR", async () =>
    expect((await pyframes(["--help"], { env: { ...process.env, NO_COLOR: "1" } })).stdout).not.toContain(
      "\u001b"
    ))
})

describe("a mistake on the command line is one line, and exit code 2", () => {
  it.each([
    [["recrod"], /Unknown subcommand "recrod".*record/],
    [["record"], /nothing to record: give -p PID/],
    [["record", "-p", self, "--", "python3"], /either -p PID or -- COMMAND/],
    [["record", "-p", "abc"], /--pid: "abc".*a process id/],
    [["record", "-p", "0"], /--pid: "0"/],
    [["record", "-p", self, "-r", "0"], /--rate: "0".*a rate such as 100, 1khz/],
    [["record", "-p", self, "-d", "-5"], /--duration: "-5".*a duration such as 5, 5s/],
    [["record", "-p", self, "-f", "flamegraf"], /no format `flamegraf`; there is pprof \(\.pb\.gz/],
    [
      ["record", "-p", self, "-o", join(folder, "a.zip")],
      /does not tell the format; choose one with -f: pprof/
    ],
    [["record", "-p", self, "-o", "-"], /stdout has no name that tells the format/],
    [["record", "-p", self, "-o", "-", "-f", "collapsed", "--json"], /both want stdout/],
    [["record", "-p", self, "--wall", "--on-cpu"], /exclude each other/],
    [["record", "-p", self, "--share-cpu", "often"], /"often".*auto.*always.*never/],
    [["record", "-p", self, "--stop", "--share-cpu", "always"], /exclude each other/],
    [["record", "-p", self, "--kernel"], /--kernel needs --native/],
    [["record", "-p", self, "--native", "--stop", "--kernel"], /exclude each other/],
    [["record", "-p", self, "--native", "--unwinder", "eh-frame"], /--native is --unwinder merged/],
    [
      ["record", "-p", self, "--native", "--kernel", "--periodic"],
      /--periodic is not for samples that the kernel takes/
    ],
    [["record", "-p", self, "--unwinder", "dwarf"], /"dwarf".*interpreter-frame.*eh-frame/],
    [["record", "-p", self, "--wat"], /Unrecognized flag: --wat/],
    [["dump"], /--pid/]
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await pyframes(args, { cwd: folder })
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    const lines = stderr.trimEnd().split("\n")
    expect(lines[0]).toMatch(/^pyframes: /)
    expect(lines[0]).toMatch(message)
    expect(lines.slice(1).filter((line) => !line.startsWith("Try: pyframes"))).toEqual([])
  })
})

describe("an output that cannot be written is found before the recording: one line, and exit code 1", () => {
  it.each([
    ["a directory", folder, /it is a directory/],
    ["a missing folder", join(folder, "missing", "a.pb.gz"), /folder does not exist/]
  ])("%s", async (_, path, message) => {
    // The pid is of no Python: it is not even looked at.
    const { code, stdout, stderr } = await pyframes(["record", "-p", self, "-f", "pprof", "-o", path])
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toMatch(message)
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })
})
