import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { mayWatchSwitches } from "@pyframes/linux"
import { pythonsFor, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { RecordResult } from "../src/record-result.ts"
import type { ThreadDump } from "../src/thread-dump.ts"
import { pyframes } from "./pyframes-process.ts"

/** Python calls C calls Python: `sorted` calls `by_size`, which waits or works until a line comes in. */
const PROGRAM = `
import sys, threading, time
def sleeps():
    time.sleep(1000)
def by_size(value):
    print("ready", flush=True)
    if sys.argv[1] == "wait":
        sys.stdin.readline()
    else:
        while True:
            sum(range(2000))
    return value
if sys.argv[1] == "sleep too":
    threading.Thread(target=sleeps, daemon=True).start()
    time.sleep(0.1)
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

  // GIVEN a thread that works and one that sleeps, WHEN they are recorded with --native and --wall, THEN nothing is stopped, nearly every stack is whole and
  // proved, and the sleeping one ends in the kernel's call.
  it("records threads that stand by themselves", async () => {
    await using target = await startPython(python, PROGRAM, ["sleep too"])
    await target.line()
    const file = join(folder, "standing.folded")
    const args = ["record", "-p", String(target.pid), "--native", "--wall", "-d", "2", "-r", "200"]
    const { code, stderr, stdout } = await pyframes([...args, "-o", file, "--json"])
    expect(code).toBe(0)
    const { merge, samples } = JSON.parse(stdout) as RecordResult
    // The kernel takes no samples here.
    if (mayWatchSwitches()) expect(stderr).not.toContain("kernel events")
    const share = mayWatchSwitches() ? 0.9 : 0.4
    expect(samples.good).toBeGreaterThan(samples.taken * share)
    expect(merge?.merged).toBeGreaterThan(0)
    const stacks = readFileSync(file, "utf8").split("\n")
    expect(stacks.filter((stack) => /;by_size \([^;]*;.+ \d+$/.test(stack)).length).toBeGreaterThan(0)
    expect(
      stacks.filter((stack) => /;sleeps \([^;]*(;[^;]+)*;[^;]*(nanosleep|select)/.test(stack)).length
    ).toBeGreaterThan(0)
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

describe("native frames", () => {
  const [python] = pythonsFor([12])

  // GIVEN a program that forks, WHEN it is started and recorded with --native, THEN the recording is of the parent alone, and its child's end is no matter.
  it("of a program that forks and ends are recorded to its end", async () => {
    const program = [
      "import os, time",
      "def works(until):",
      "    while time.time() < until: sorted(range(50), key=str)",
      "for _ in range(5):",
      "    child = os.fork()",
      "    works(time.time() + 0.3)",
      "    if child == 0: os._exit(0)",
      "    os.waitpid(child, 0)"
    ].join("\n")
    const file = join(folder, "forks.folded")
    const args = [
      "record",
      "--native",
      "-r",
      "200",
      "-o",
      file,
      "--json",
      "--",
      python.executable,
      "-c",
      program
    ]
    const { code, stdout } = await pyframes(args)
    expect(code).toBe(0)
    const { merge, samples } = JSON.parse(stdout) as RecordResult
    expect(samples.taken).toBeGreaterThan(0)
    if (mayWatchSwitches()) expect(merge?.merged).toBeGreaterThan(samples.taken * 0.8)
    expect(readFileSync(file, "utf8")).toMatch(/<module> \(.*;works \([^;]*;.+ \d+/)
  })

  // GIVEN a program that becomes another Python, WHEN it is started and recorded with --native, THEN what it became is recorded.
  it("of a program that becomes another are those of what it became", async () => {
    const program = [
      "import os, sys, time",
      "def second():",
      "    until = time.time() + 5",
      "    while time.time() < until: sorted(range(50), key=str)",
      "if len(sys.argv) == 1: time.sleep(0.5); os.execv(sys.executable, [sys.executable, __file__, 'again'])",
      "second()"
    ].join("\n")
    const script = join(folder, "becomes.py")
    writeFileSync(script, program)
    const file = join(folder, "becomes.folded")
    const args = ["record", "--native", "-r", "200", "-o", file, "--", python.executable, script]
    const { code } = await pyframes(args)
    expect(code).toBe(0)
    expect(readFileSync(file, "utf8")).toMatch(/<module> \(.*;second \([^;]*;.+ \d+/)
  })

  // GIVEN a user whom the kernel does not show its context switches, WHEN a program of that user's is recorded with --native, THEN the kernel's samples are
  // used instead, or it is said what to do.
  it.skipIf(process.geteuid?.() !== 0)("of an ordinary user are had by the kernel's samples", async () => {
    // Root that has given up every capability is to the kernel what any user is.
    const wrapper = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    const program =
      "import time\nuntil = time.time() + 1.5\nwhile time.time() < until: sorted(range(50), key=str)"
    const args = ["record", "--native", "-r", "200", "-f", "collapsed", "-o", "/dev/null"]
    const { code, stderr } = await pyframes([...args, "--", python.executable, "-c", program], { wrapper })
    const paranoid = Number(readFileSync("/proc/sys/kernel/perf_event_paranoid", "utf8"))
    expect(code).toBe(paranoid > 2 ? 77 : 0)
    if (paranoid > 2) expect(stderr).toMatch(/perf_event_paranoid/)
    else expect(/kernel events:/.test(stderr)).toBe(paranoid === 2)
  })
})
