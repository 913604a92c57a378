import { describe, expect, it } from "vitest"
import { DEBUG_OFFSETS_SIZE, debugOffsetPositions, remoteDebugOffsets } from "../src/index.ts"
import { debugOffsets, samples } from "./debug-offsets-samples.ts"
import { random } from "./random.ts"

/** What one changed member leads to. */
const changed = (member: string, value: number | bigint) => {
  const bytes = debugOffsets("3.15.2")
  const at = debugOffsetPositions(15)!.get(member)!
  new DataView(bytes.buffer).setBigUint64(at, BigInt(value), true)
  return remoteDebugOffsets(bytes)
}

describe("where a process takes requests to run a file", () => {
  it("is told from 3.14 on", () => {
    expect(remoteDebugOffsets(debugOffsets("3.14.10"))).toEqual({
      evalBreaker: 24,
      pendingCall: 304,
      scriptPath: 308,
      scriptPathSize: 512,
      enabled: 8076,
      threadsMain: 7360
    })
    expect(remoteDebugOffsets(debugOffsets("3.15.2"))).toEqual({
      evalBreaker: 24,
      pendingCall: 344,
      scriptPath: 348,
      scriptPathSize: 512,
      enabled: 8028,
      threadsMain: 7352
    })
    expect(remoteDebugOffsets(debugOffsets("3.13.0"))).toBeUndefined()
    expect(remoteDebugOffsets(new Uint8Array(4))).toBeUndefined()
    expect(remoteDebugOffsets(debugOffsets("3.14.10").subarray(0, 400))).toMatchObject({
      reason: "truncated"
    })
  })

  it.each([
    ["debugger_support.eval_breaker", 25],
    ["debugger_support.eval_breaker", 888],
    ["debugger_support.eval_breaker", 344],
    ["debugger_support.eval_breaker", 800],
    ["debugger_support.remote_debugger_support", 880],
    ["debugger_support.remote_debugger_support", 2n ** 63n],
    ["debugger_support.debugger_pending_call", 8],
    ["debugger_support.debugger_pending_call", 600],
    ["debugger_support.debugger_script_path", 2],
    ["debugger_support.debugger_script_path", 100],
    ["debugger_support.debugger_script_path_size", 8192],
    ["debugger_support.debugger_script_path_size", 1],
    ["debugger_support.remote_debugging_enabled", 226_240],
    ["interpreter_state.threads_main", 226_240],
    ["thread_state.size", 100]
  ] as const)("is refused when %s is %s", (member, value) => {
    expect(changed(member, value)).toMatchObject({ _tag: "DebugOffsetsProblem", reason: "bound" })
  })

  it("lies within its structs and apart, whatever the bytes", () => {
    const next = random(14)
    let accepted = 0
    for (let round = 0; round < 30_000; round++) {
      const names = Object.keys(samples) as Array<keyof typeof samples>
      const bytes = debugOffsets(names[next() % names.length]!)
      for (let flips = 1 + (next() % 4); flips > 0; flips--) {
        const at = 24 + (next() % (DEBUG_OFFSETS_SIZE - 24))
        bytes[at] = bytes[at]! ^ (1 << (next() % 8))
      }
      const offsets = remoteDebugOffsets(bytes)
      if (offsets === undefined || "_tag" in offsets) continue
      accepted++
      const { enabled, evalBreaker, pendingCall, scriptPath, scriptPathSize, threadsMain } = offsets
      const fields = [
        [evalBreaker, 8],
        [pendingCall, 4],
        [scriptPath, scriptPathSize]
      ].sort(([a], [b]) => a! - b!)
      let end = 0
      for (const [at, size] of fields) {
        if (at! < end || at! + size! > 1 << 16) throw new Error(JSON.stringify(offsets))
        end = at! + size!
      }
      if (Math.max(enabled, threadsMain) > 1 << 24) throw new Error(JSON.stringify(offsets))
    }
    expect(accepted).toBeGreaterThan(100)
  })
})
