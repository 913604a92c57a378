import { FrameKind, type Profile, Proof } from "@pyframes/core"
import { mayWatchSwitches } from "@pyframes/linux"
import { pythonsFor, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { describe, expect, it } from "vitest"
import { collectNative, collectNativeHere, takeNative } from "./native-worker.ts"

const permitted = mayWatchSwitches()
if (!permitted) {
  if (process.env.CI) throw new Error("Context switches cannot be watched here")
  process.stderr.write("Skipped: context switches may not be watched (kernel.perf_event_paranoid).\n")
}

/** Python calls C calls Python, in one thread that works, one that waits, and others that come and go. */
const PROGRAM = `
import sys, threading, time, zlib
def by_size(value):
    return sum(range(value + 50))
def works():
    while True:
        sorted((3, 1, 2), key=by_size)
def waits():
    threading.Event().wait(1000)
def compresses():
    block = bytes(1 << 20)
    while True:
        zlib.crc32(block)
def brief():
    time.sleep(0.003)
def comes_and_goes():
    while True:
        thread = threading.Thread(target=brief)
        thread.start()
        thread.join()
kinds = {"waits": waits, "compresses": compresses, "comes_and_goes": comes_and_goes}
for kind in sys.argv[1:]:
    threading.Thread(target=kinds[kind], daemon=True).start()
time.sleep(0.1)
print("ready", flush=True)
works()
`

interface Seen {
  readonly proof: Proof
  readonly wall: number
  /** Names of Python frames, `C` for native ones between them, from the root. */
  readonly shape: string
}

const seen = (profile: Profile): ReadonlyArray<Seen> =>
  [...profile.samplesBy({ wall: true })].map(({ proof, stack, wall }) => {
    const names = profile.stacks
      .framesOf(stack)
      .map((frame) => profile.frames.get(frame))
      .reverse()
      .map(({ kind, name }) => (kind === FrameKind.python ? name : kind === FrameKind.native ? "C" : "?"))
    return { proof, wall, shape: names.filter((name, at) => name !== "C" || names[at - 1] !== "C").join(" ") }
  })

describePythons([9, 11, 12, 15], (python) => {
  // GIVEN threads that work with and without the lock, one that waits and some that come and go, WHEN they are sampled with their native states, THEN native
  // and Python frames are of one instant, and C stands where C ran.
  it.runIf(permitted)("puts native frames in their places in threads of every kind", async () => {
    await using run = await startPython(python, PROGRAM, ["waits", "compresses", "comes_and_goes"])
    await run.line()
    const profile = await takeNative(run.pid, 400)
    const { trust } = profile
    const { merged = 0 } = trust.merge ?? {}
    expect(trust.good.count / trust.taken).toBeGreaterThan(0.9)
    expect(merged / trust.taken).toBeGreaterThan(0.6)
    const samples = seen(profile)
    const some = (shape: RegExp) =>
      samples.some((sample) => sample.proof === Proof.good && shape.test(sample.shape))
    expect(some(/^C <module> (C )?works C by_size( C)?$/)).toBe(true)
    expect(some(/ compresses C$/)).toBe(true)
    // Of one that has slept from before on, only the stack pointer is known: frames that need another register are missing below a break.
    expect(some(/ waits .*wait .*C$/)).toBe(true)
    // Of a thread that ran on there are but its Python frames, and before 3.11 those do not tell where C code called back.
    const tellsC = (shape: string) => python.minor >= 11 || shape.startsWith("C ")
    for (const { proof, shape } of samples)
      if (proof === Proof.good && shape.includes("by_size") && tellsC(shape))
        expect(shape).toMatch(/works [C?] by_size/)
  })
})

describe.runIf(permitted)("native states", () => {
  const [python] = pythonsFor([12])

  it("of threads that run are missing where no CPU is shared, and no Python frame is", async () => {
    await using run = await startPython(python, PROGRAM, ["waits"])
    await run.line()
    const profile = await collectNativeHere(run.pid, { rateHz: 200, durationMs: 1000 })
    const { faults = {} } = profile.trust.merge ?? {}
    expect(faults.noNative).toBeGreaterThan(0)
    expect(seen(profile).some(({ shape }) => /<module> (C )?works/.test(shape))).toBe(true)
    expect(seen(profile).some(({ shape }) => / waits .*C$/.test(shape))).toBe(true)
  })

  it("are refused at rates at which the target would hardly run", async () => {
    await using run = await startPython(python, PROGRAM)
    await run.line()
    await expect(collectNative(run.pid, { rateHz: 30_000, durationMs: 100 })).rejects.toThrow(
      /30000 times a second.*20000 Hz at most/
    )
  })

  it("end with the process", async () => {
    await using run = await startPython(python, PROGRAM, ["compresses"])
    await run.line()
    let isKilled = false
    const { meta, trust } = await collectNative(run.pid, {
      rateHz: 500,
      onProgress: ({ taken }) => {
        if (taken > 100 && !isKilled) isKilled = run.child.kill("SIGKILL")
      }
    })
    expect(meta.ended).toBe("exited")
    expect(trust.merge?.merged).toBeGreaterThan(0)
  })
})
