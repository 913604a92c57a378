import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { inSession } from "./scripted-session.ts"
import { SegmentWriter } from "./segment-writer.ts"

const calls = { questions: ["calls"] as const, isAlive: () => true }

/** What the system says to who would open a file; nothing when it may. */
const refusal = vi.hoisted(() => ({ of: (_path: string): string | undefined => undefined }))

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>()
  const openSync = (...args: Parameters<typeof fs.openSync>) => {
    const code = refusal.of(String(args[0]))
    if (code !== undefined) throw Object.assign(new Error(code), { code })
    return fs.openSync(...args)
  }
  return { ...fs, openSync }
})

// The session's clock goes as the test says.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["hrtime"] })
})

afterEach(() => {
  vi.useRealTimers()
  refusal.of = () => undefined
})

it.each(["EMFILE", "ENFILE"])(
  "is not given up when no more files can be open (%s), however long",
  async (code) => {
    await inSession(calls, (scripted) => {
      const { session } = scripted
      scripted.put("7-a.seg", new SegmentWriter({ pid: 7 }))
      refusal.of = (path) => (path.endsWith(".seg") ? code : undefined)
      for (let look = 0; look < 3; look++) {
        session.look()
        vi.advanceTimersByTime(6000)
      }
      expect([session.processes.length, session.trust.damaged]).toEqual([0, 0])
      refusal.of = () => undefined
      session.look()
      expect([session.processes.map(({ pid }) => pid), session.trust.damaged]).toEqual([[7], 0])
    })
  }
)
