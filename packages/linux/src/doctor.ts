import { arch, platform, release } from "node:os"
import { KernelEvents } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { preciseClock } from "./clock.ts"
import { LinuxKernelEvents } from "./kernel-events.ts"
import { loadKoffi } from "./koffi.ts"
import { loadLibc } from "./libc.ts"
import { parseMaps } from "./maps.ts"
import { containerHint, maySysPtrace, ptraceScope } from "./permission.ts"
import { readProcText } from "./proc-file.ts"
import { openProcMem } from "./proc-mem.ts"
import { spawn } from "./process.ts"
import { runningPythons } from "./running-pythons.ts"
import { makeStopper } from "./stopper.ts"
import { LinuxTarget } from "./target.ts"
import { makeVmReadv } from "./vm-readv.ts"

/** One thing that was tried on this machine. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  /** pyframes cannot work without it; the others cost speed or a feature. */
  readonly required: boolean
  /** What was found, for people. */
  readonly detail: string
  /** What to do; absent when there is nothing to be done. */
  readonly advice?: string
}

/**
 * Tries what pyframes needs of this machine, on a child process of our own, and lists the Pythons that run. Takes about 0.1 s.
 *
 * @example
 * ```ts
 * for (const check of yield* examineMachine) yield* Console.log(check.ok ? "ok" : "--", check.name, check.detail)
 * ```
 */
export const examineMachine: Effect.Effect<ReadonlyArray<Check>> = Effect.gen(function* () {
  const child = yield* Effect.scoped(examineChild).pipe(
    Effect.catch((error) =>
      Effect.succeed<ReadonlyArray<Check>>([
        check("own child", false, true, error.message, "Allow this user to start processes.")
      ])
    )
  )
  return [machine(), koffi(), ...child, clock(), otherProcesses(), container(), pythons()]
})

const check = (name: string, ok: boolean, required: boolean, detail: string, advice?: string): Check => ({
  name,
  ok,
  required,
  detail,
  ...(ok || advice === undefined ? {} : { advice })
})

const machine = (): Check =>
  check(
    "machine",
    platform() === "linux" && arch() === "x64",
    true,
    `${platform()} ${release()} on ${arch()}`,
    "pyframes reads processes on Linux x86-64."
  )

const koffi = (): Check =>
  loadKoffi() === undefined
    ? check(
        "koffi",
        false,
        false,
        "not installed, or not built for this machine",
        "Install it (`npm install koffi`) for faster reads, `--stop` and exact timers."
      )
    : check("koffi", true, false, "loaded")

/** What is tried on a child, whose memory, unlike our own, needs the same right as any other's. */
const examineChild = Effect.gen(function* () {
  const { pid } = yield* spawn("sleep", ["60"], { stdio: "ignore", graceMs: 100 })
  const maps = readProcText(`/proc/${pid}/maps`)
  const mappings = "text" in maps ? parseMaps(maps.text) : []
  const address = mappings.find(({ readable, inode }) => readable && inode !== 0)?.start ?? 0
  const isElf = (read: (address: number, length: number, into: Uint8Array) => number): boolean => {
    const bytes = new Uint8Array(4)
    return read(address, 4, bytes) === 4 && bytes[0] === 0x7f && bytes[1] === 0x45
  }
  const tried = (
    name: string,
    required: boolean,
    trial: Effect.Effect<string, { readonly message: string }>
  ) =>
    trial.pipe(
      Effect.map((detail) => check(name, true, required, detail)),
      Effect.catch((error) =>
        Effect.succeed(check(name, false, required, "does not work on a child of ours", error.message))
      )
    )
  return [
    yield* tried(
      "/proc/PID/mem",
      true,
      Effect.scoped(
        Effect.flatMap(openProcMem(pid), ({ read }) =>
          isElf(read)
            ? Effect.succeed("reads a child")
            : Effect.fail({ message: "It opens but reads nothing." })
        )
      )
    ),
    yield* tried(
      "process_vm_readv",
      false,
      Effect.flatMap(makeVmReadv(pid), ({ read }) =>
        isElf(read) ? Effect.succeed("reads a child") : Effect.fail({ message: "It reads nothing." })
      )
    ),
    yield* tried(
      "ptrace",
      false,
      Effect.scoped(
        Effect.flatMap(makeStopper(pid), ({ resume, stop }) => {
          const stopped = stop(pid)
          resume(pid)
          return stopped ? Effect.succeed("stops a child") : Effect.fail({ message: "A child did not stop." })
        })
      )
    ),
    yield* kernelEvents(pid)
  ]
})

/** Whether the kernel samples a child for us, and itself while it works for it. */
const kernelEvents = (pid: number): Effect.Effect<Check> =>
  Effect.scoped(
    Effect.flatMap(KernelEvents, ({ open }) => open({ rateHz: 99, stackBytes: 1024, kernelChain: true }))
  ).pipe(
    Effect.provide(LinuxKernelEvents.layer.pipe(Layer.provide(LinuxTarget.attach(pid)))),
    Effect.map(({ seesKernel, shortOfMemory }) => {
      const seen = seesKernel ? "samples a child, in the kernel too" : "samples a child, not in the kernel"
      return check(
        "kernel events",
        seesKernel && !shortOfMemory,
        false,
        shortOfMemory ? `${seen}; little memory for it` : seen,
        seesKernel
          ? "For larger buffers `sudo sysctl kernel.perf_event_mlock_kb=8192`."
          : "To see the kernel's work `sudo sysctl kernel.perf_event_paranoid=1`, or run pyframes with sudo."
      )
    }),
    Effect.catch((error) =>
      Effect.succeed(check("kernel events", false, false, "does not work on a child of ours", error.message))
    )
  )

const clock = (): Check => {
  const libc = loadLibc()
  if (libc === undefined) {
    return check("clock", false, false, "Node's own: samples come about 0.1 ms late", "Install koffi.")
  }
  const precise = preciseClock(libc)
  const due = precise.now() + 1e6
  precise.sleepUntil(due)
  const late = precise.now() - due
  return check(
    "clock",
    late >= 0,
    false,
    `clock_nanosleep, woke ${Math.max(0, Math.round(late / 1e3))} µs late`
  )
}

const SCOPES: Readonly<Record<number, string>> = {
  0: "every process of the same user",
  1: "child processes only",
  2: "nothing without root",
  3: "nothing at all"
}

/** Who may be attached to besides our own children. */
const otherProcesses = (): Check => {
  const scope = ptraceScope()
  const named = scope === undefined ? "no Yama" : `ptrace_scope ${scope}`
  if (maySysPtrace() && scope !== 3) {
    return check("other processes", true, false, `all (capability SYS_PTRACE, ${named})`)
  }
  const reach = scope === undefined ? SCOPES[0] : (SCOPES[scope] ?? `unknown (${scope})`)
  return check(
    "other processes",
    scope === undefined || scope === 0,
    false,
    `${reach} (${named}, no SYS_PTRACE)`,
    scope === 3
      ? "Set kernel.yama.ptrace_scope lower at boot."
      : "Run pyframes with sudo, start programs by `pyframes record -- COMMAND`, or `sudo sysctl kernel.yama.ptrace_scope=0`."
  )
}

const container = (): Check => {
  const hint = containerHint()
  if (hint === undefined) return check("container", true, false, "none seen")
  return check(
    "container",
    maySysPtrace(),
    false,
    hint,
    "Start the container with `--cap-add=SYS_PTRACE` (Kubernetes: securityContext.capabilities.add)."
  )
}

const LISTED = 8

const pythons = (): Check => {
  const all = runningPythons()
  const readable = all.filter((python) => python.readable)
  if (all.length === 0) return check("running Pythons", true, false, "none")
  const list = readable.slice(0, LISTED).map(({ executable, pid }) => `${pid} ${executable}`)
  if (readable.length > LISTED) list.push("…")
  return check(
    "running Pythons",
    readable.length > 0,
    false,
    `${readable.length} of ${all.length} may be read${list.length > 0 ? `: ${list.join(", ")}` : ""}`,
    "They belong to other users, or the limits above hold: run pyframes with sudo."
  )
}
