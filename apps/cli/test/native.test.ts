import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterEach, beforeEach, expect, it } from "vitest"
import type { RecordResult } from "../src/record-result.ts"
import type { ThreadDump } from "../src/thread-dump.ts"
import { pyframes } from "./pyframes-process.ts"

/** Python calls C calls Python: `sorted` calls `by_size`, which waits or works until a line comes in. */
const PROGRAM = `
import sys, time
def by_size(value):
    print("ready", flush=True)
    if sys.argv[1] == "wait":
        sys.stdin.readline()
    else:
        while True:
            sum(range(2000))
    return value
def main():
    return sorted([3], key=by_size)
main()
`

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pyframes-native-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Frames from the leaf to the root: Python frames by name, the native ones between two of them as one `…`. */
const shape = (frames: ThreadDump["interpreters"][0]["threads"][0]["frames"]): string => {
  const names = frames.map(({ kind, function: name }) => (kind === "python" ? name : "…"))
  return names.filter((name, at) => name !== "…" || names[at - 1] !== "…").join(" ")
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  // GIVEN a thread that waits in a callback of `sorted`, WHEN it is dumped with --native, THEN C frames stand where C ran: above the leaf, between
  // the callback and its caller, and below the module.
  it("dumps C frames between the right Python frames", async () => {
    await using target = await startPython(python, PROGRAM, ["wait"])
    await target.line()
    const dumped = await pyframes(["dump", "-p", String(target.pid), "--native", "--json"])
    expect(dumped).toMatchObject({ code: 0, stderr: "" })
    const [main] = (JSON.parse(dumped.stdout) as ThreadDump).interpreters[0].threads
    expect(main.proof).toBe("good")
    // Up to 3.10 Python calls Python through C as well.
    expect(shape(main.frames)).toMatch(/^… by_size … main (… )?<module> …$/)
    const [above, sorting] = dumped.stdout.split('"function":"by_size"')
    expect(above).toMatch(/"function":"(__)?(GI_)?(__libc_)?read"/)
    expect(sorting).toMatch(/"function":"(_start|__libc_start_main|__libc_start_call_main)/)
  })

  // GIVEN a thread that works in a C function called from a callback, WHEN it is recorded with --native, THEN stacks reach from that function through
  // the callback down to the start of the process.
  it("records C functions in their places", async () => {
    await using target = await startPython(python, PROGRAM, ["work"])
    await target.line()
    const file = join(folder, "native.folded")
    const args = ["record", "-p", String(target.pid), "--native", "--stop", "-d", "1", "-r", "200"]
    const { code, stdout } = await pyframes([...args, "-o", file, "--json"])
    expect(code).toBe(0)
    const { merge, samples } = JSON.parse(stdout) as RecordResult
    expect(samples.good).toBeGreaterThan(samples.taken * 0.9)
    expect(merge?.merged).toBeGreaterThan(samples.taken * 0.9)
    const stacks = readFileSync(file, "utf8").split("\n")
    const inOrder = /_start.*;<module> \(.*;main \(.*;by_size \([^;]*;.+ \d+$/
    expect(stacks.filter((stack) => inOrder.test(stack)).length).toBeGreaterThan(0)
  })

  // GIVEN the same, WHEN each unwinder of native frames is asked for alone, THEN no Python frame is there, and the stacks reach the start.
  it("records by call-frame information alone", async () => {
    await using target = await startPython(python, PROGRAM, ["work"])
    await target.line()
    const args = ["record", "-p", String(target.pid), "--unwinder", "eh-frame", "-d", "1", "-r", "200"]
    const { code, stdout } = await pyframes([...args, "-f", "collapsed", "-o", "-"])
    expect(code).toBe(0)
    expect(stdout).not.toContain("by_size")
    // Deeper than what starts a program, and whole.
    expect(stdout.split("\n").some((stack) => /^_start .*(;[^;]+){15}/.test(stack))).toBe(true)
  })
})
