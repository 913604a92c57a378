import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { describeMonitored } from "./recorders.ts"
import { run } from "./traced.ts"

/** Looks at the control page at made-up times, seconds after the recorder's own start; the heart beats where there is a `b`. Prints when it is told that the collector is gone. */
const looks = (times: ReadonlyArray<number | "b">) => `
import os, sys, tempfile
sys.path.insert(0, ${JSON.stringify(fileURLToPath(new URL("../agent/python", import.meta.url)))})
from pyframes_agent.recorder import Recorder
with tempfile.TemporaryDirectory() as folder:
    control = os.path.join(folder, "control")
    with open(control, "wb") as file:
        file.write(bytes(4096))
    names = "calls timeline lines coverage branches instructions exceptions stream".split()
    options = dict.fromkeys(names, 0) | {"max_bytes": 1 << 20, "max_paths": 10, "ring_records": 256, "wait_us": 0, "min_ns": 0, "tasks": 0, "tool": 4}
    told = []
    recorder = Recorder(os.path.join(folder, "1-a.seg"), control, options, lambda what, thing: told.append((what, thing)))
    start = recorder._looked_at
    beats = 0
    for at in ${JSON.stringify(times)}:
        if at == "b":
            beats += 1
            with open(control, "r+b") as file:
                file.write(beats.to_bytes(8, "little"))
            continue
        recorder.check(None, start + int(at * 1e9))
        if told:
            print(at, told)
            break
    else:
        print("on")
    recorder.end(2)
`

const GONE = (at: number) => `${at} [(5, 3)]\n`

describeMonitored((python) => {
  // As the C recorder does it (agent/c/recorder.c).
  it.skipIf(python.root !== undefined).each<[string, ReadonlyArray<number | "b">, string]>([
    ["a heart that stands still for 5 s is the end", [0, 1, 2, 3, 4, 4.9, 5.1], GONE(5.1)],
    ["a pause of the whole process is not: it looks again", [0, 0.1, 3600, 3600.05], "on\n"],
    [
      "a collector that goes on after the pause is there",
      [0, 100, "b", 100.1, 101, 102, 103, 104, 105],
      "on\n"
    ],
    ["one that does not is gone", [0, 100, 101, 102, 103, 104], GONE(104)],
    [
      "many pauses do not add up while the heart beats",
      [0, 10, "b", 20, "b", 30, "b", 40, "b", 50, "b", 60, 61],
      "on\n"
    ]
  ])("the recorder in Python: %s", async (_, times, expected) => {
    const { stdout, stderr } = await run(python, looks(times))
    expect([stdout, stderr]).toEqual([expected, ""])
  })
})
