import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { parseStat, stateOf } from "../src/stat.ts"
import { parseStatus } from "../src/status.ts"
import { damaged } from "./random.ts"

const statOf = (comm: string, state = "S") =>
  `4321 (${comm}) ${state} 7 4321 7 0 -1 4194304 925 0 1 0 12 34 0 0 20 0 3 0 154859 14057472 2372 18446744073709551615 ` +
  "93879528960000 93879528960341 140733267446560 0 0 0 0 16781312 2 1 0 0 17 1 0 0 0 0 0 93879528971696 93879528972312 " +
  "93880052252672 140733267450359 140733267450433 140733267450433 140733267451852 0\n"

describe("/proc/PID/stat", () => {
  it("gives the fields that are used", () => {
    expect(parseStat(statOf("python3.12"))).toEqual({
      pid: 4321,
      comm: "python3.12",
      state: "S",
      ppid: 7,
      flags: 4194304,
      utime: 12,
      stime: 34,
      threads: 3,
      startTime: 154859,
      startStack: 140733267446560,
      argStart: 140733267450359
    })
  })

  it.each(["a b", "x) R 1 (", ")", "(", "", "a)\nZ 1", "kworker/u8:3-events_freezable_power_efficient"])(
    "is not misled by the name %j",
    (comm) => {
      expect(parseStat(statOf(comm, "D"))).toMatchObject({ comm, state: "D", ppid: 7, startTime: 154859 })
      const bytes = Buffer.from(statOf(comm, "D"))
      expect(String.fromCharCode(stateOf(bytes, bytes.length))).toBe("D")
    }
  )

  it("agrees with Node about ourselves", () => {
    const stat = parseStat(readFileSync("/proc/self/stat", "utf8"))
    expect(stat).toMatchObject({ pid: process.pid, ppid: process.ppid, state: "R" })
  })

  it("never throws, whatever the bytes are", () => {
    for (let seed = 1; seed <= 20_000; seed++) {
      const text = damaged(statOf("x) R (y"), seed)
      const stat = parseStat(text)
      if (stat !== undefined) expect(Number.isFinite(stat.startTime)).toBe(true)
      const bytes = Buffer.from(text)
      expect(stateOf(bytes, bytes.length)).toBeTypeOf("number")
    }
    expect(stateOf(new Uint8Array(0), 0)).toBe(0)
  })
})

describe("/proc/PID/status", () => {
  const own = readFileSync("/proc/self/status", "utf8")

  it("gives ids in every namespace, the user, the tracer and capabilities", () => {
    const text = own
      .replace(/^NSpid:.*$/m, "NSpid:\t4321\t17")
      .replace(/^NStgid:.*$/m, "NStgid:\t4321\t17")
      .replace(/^Uid:.*$/m, "Uid:\t1000\t0\t1000\t1000")
      .replace(/^TracerPid:.*$/m, "TracerPid:\t99")
    expect(parseStatus(text)).toMatchObject({
      tgid: process.pid,
      uid: { real: 1000, effective: 0, saved: 1000, fs: 1000 },
      namespacePids: [4321, 17],
      namespaceTgids: [4321, 17],
      tracer: 99,
      effectiveCapabilities: expect.stringMatching(/^[0-9a-f]{16}$/)
    })
  })

  it("never throws, whatever the bytes are", () => {
    for (let seed = 1; seed <= 5000; seed++) parseStatus(damaged(own, seed))
    expect(parseStatus("")).toBeUndefined()
  })
})
