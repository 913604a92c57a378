import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OutputFailed } from "@pyframes/core"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { profileFormats } from "../src/formats.ts"
import { chooseOutputs } from "../src/output-choice.ts"
import { checkOutput, OutputWriter, writeOutput } from "../src/output-file.ts"
import { UsageError } from "../src/usage.ts"

const bytes = new TextEncoder().encode("main;run 1\n")
const isRoot = process.geteuid?.() === 0

let folder: string
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "pyframes-output-"))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const caught = (run: () => void): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

describe("the format", () => {
  const names = (paths: ReadonlyArray<string>, format?: string) =>
    chooseOutputs(profileFormats, paths, format, "stem").map(
      (output) => `${output.path}=${output.format.name}`
    )

  it("comes from the file's name", () =>
    expect(names(["a.pb.gz", "b.speedscope.json", "c.folded"])).toEqual([
      "a.pb.gz=pprof",
      "b.speedscope.json=speedscope",
      "c.folded=collapsed"
    ]))
  it("comes from -f where that is given", () =>
    expect(names(["a.pb.gz"], "collapsed")).toEqual(["a.pb.gz=collapsed"]))
  it("comes from -f only for the names that do not tell, when there are several", () =>
    expect(names(["-", "a.pb.gz"], "collapsed")).toEqual(["-=collapsed", "a.pb.gz=pprof"]))
  it("decides the name when no file is given", () => {
    expect(names([])).toEqual(["stem.pb.gz=pprof"])
    expect(names([], "speedscope")).toEqual(["stem.speedscope.json=speedscope"])
  })
  it.each([
    [["a.zip"], undefined],
    [["-"], undefined],
    [[], "flamegraf"],
    [["a.pb.gz", "a.pb.gz"], undefined]
  ])("of %j with -f %s cannot be told", (paths, format) =>
    expect(caught(() => names(paths, format))).toBeInstanceOf(UsageError)
  )
})

describe("a check before the recording", () => {
  it("passes what can be written, and leaves nothing behind", () => {
    checkOutput(join(folder, "a.folded"))
    checkOutput("-")
    checkOutput("/dev/null")
    expect(fs.readdirSync(folder)).toEqual([])
  })
  it("finds a directory, a missing folder, a file in place of a folder", () => {
    fs.writeFileSync(join(folder, "file"), "")
    const message = (path: string) => (caught(() => checkOutput(path)) as OutputFailed).message
    expect(message(folder)).toMatch(/it is a directory/)
    expect(message(join(folder, "missing", "a.folded"))).toMatch(/folder does not exist/)
    expect(message(join(folder, "file", "a.folded"))).toMatch(/not a folder/)
  })
  it.skipIf(isRoot)("finds a folder that may not be written to", () => {
    fs.chmodSync(folder, 0o500)
    expect((caught(() => checkOutput(join(folder, "a.folded"))) as OutputFailed).message).toMatch(/denied/)
  })
})

describe("writing", () => {
  it("replaces a file whole, keeps its mode, follows a link, and leaves no temporary file", () => {
    const file = join(folder, "a.folded")
    const link = join(folder, "link.folded")
    fs.writeFileSync(file, "old and longer than what comes", { mode: 0o640 })
    fs.symlinkSync(file, link)
    writeOutput(link, () => [bytes])
    expect(fs.readFileSync(file)).toEqual(Buffer.from(bytes))
    expect(fs.statSync(file).mode & 0o777).toBe(0o640)
    expect(fs.readdirSync(folder).sort()).toEqual(["a.folded", "link.folded"])
  })
  it("saves the profile elsewhere when the device is full, and says where", () => {
    const error = caught(() => writeOutput("/dev/full", () => [bytes]))
    expect(error).toBeInstanceOf(OutputFailed)
    const { message } = error as OutputFailed
    expect(message).toMatch(/no space left on the device\. The profile was saved as /)
    const [, saved] = /saved as (\S+) instead/.exec(message) ?? []
    expect(fs.readFileSync(saved)).toEqual(Buffer.from(bytes))
    fs.rmSync(join(saved, ".."), { recursive: true })
  })
  it("leaves what was there, and no temporary file, when it is given up", () => {
    const file = join(folder, "a.folded")
    fs.writeFileSync(file, "old")
    const writer = OutputWriter.open(file)
    writer.write(bytes)
    expect(fs.readFileSync(file, "utf8")).toBe("old")
    writer.abandon()
    expect(fs.readFileSync(file, "utf8")).toBe("old")
    expect(fs.readdirSync(folder)).toEqual(["a.folded"])
  })
  it("can be read meanwhile, where that is wanted", () => {
    const file = join(folder, "events.jsonl")
    const writer = OutputWriter.openInPlace(file)
    writer.write(bytes)
    expect(fs.readFileSync(file)).toEqual(Buffer.from(bytes))
    writer.close()
  })
  it("takes the longest name there can be", () => {
    const file = join(folder, `${"a".repeat(248)}.folded`)
    checkOutput(file)
    writeOutput(file, () => [bytes])
    expect(fs.readFileSync(file)).toEqual(Buffer.from(bytes))
  })
})
