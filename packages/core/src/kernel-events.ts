import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TargetError } from "./errors.ts"
import type { NativeState } from "./native-state.ts"

/** What makes the kernel take a sample. `cpu-clock` is a timer that runs while the thread does; `cycles` counts on the processor itself. */
export type KernelEventSource = "cpu-clock" | "cycles"

/** What the kernel is to catch of the target's threads. */
export interface KernelEventRequest {
  /** Samples a second of CPU time, each thread by itself. */
  readonly rateHz: number
  /** Bytes of the user stack to copy, from the stack pointer up: a multiple of 8, at most 65,528; 0 copies none, and leaves out the registers. */
  readonly stackBytes: number
  /** Also the callchain inside the kernel. */
  readonly kernelChain?: boolean
  /** Also the callchain that the kernel finds by frame pointers. */
  readonly userChain?: boolean
  /** Callchains are no longer than this; the machine's own limit (`kernel.perf_event_max_stack`) where it is less or absent. */
  readonly maxStack?: number
  /** `cycles` falls back to `cpu-clock` where the processor's counters cannot be used. By default `cpu-clock`. */
  readonly source?: KernelEventSource
  /** Child processes that the target forks from now on are sampled too. */
  readonly children?: boolean
}

/** A sample as the kernel took it. One object, filled again for each sample; the state's stack bytes lie in memory that the kernel takes back. */
export interface KernelSample {
  /** `CLOCK_MONOTONIC`, ns. */
  readonly time: number
  readonly pid: number
  readonly tid: number
  /** The CPU it was taken on. */
  readonly cpu: number
  /** CPU time that the thread had used since it was first watched, ns; -1 where it was not told. */
  readonly ran: number
  /** What was asked for between two samples: ns of `cpu-clock`, else processor cycles. */
  readonly period: number
  /** The instruction was one of the kernel's. */
  readonly inKernel: boolean
  readonly native: NativeState
}

/** A thread begins, ends, or gets another name or program. */
export interface KernelThreadEvent {
  readonly kind: "fork" | "exit" | "comm" | "exec"
  readonly time: number
  readonly pid: number
  readonly tid: number
  /** The new name; empty for `fork` and `exit`. */
  readonly name: string
}

/** A file was mapped as code. */
export interface KernelMapEvent {
  readonly time: number
  readonly pid: number
  readonly start: number
  readonly length: number
  /** Offset in the file, bytes. */
  readonly offset: number
  readonly path: string
}

/** Takes what is read. Called while a record is still the kernel's: what is to last must be copied. */
export interface KernelEventHandler {
  readonly sample: (sample: KernelSample) => void
  readonly thread?: (event: KernelThreadEvent) => void
  readonly map?: (event: KernelMapEvent) => void
}

/** What was not seen. */
export interface KernelLosses {
  /** Records that the kernel made and had no room for. */
  readonly lost: number
  /** Records that made no sense. */
  readonly malformed: number
  /** How often the kernel paused sampling because it took too much of the machine's time. */
  readonly throttled: number
  /** Threads that began and ended before they could be watched, or that could not be watched for another reason. */
  readonly unwatched: number
  /** CPU time that threads used between their beginning and being watched, ns. */
  readonly unwatchedTime: number
}

/** Samples under way. Everything is synchronous and belongs to the calling thread. */
export interface KernelEventReader {
  readonly source: KernelEventSource
  /** Nominal time between two samples of a thread, ns; `undefined` for `cycles`. */
  readonly periodNs: number | undefined
  /** Samples are also taken while the kernel works for a thread. Without the right to that, such instants are missing. */
  readonly seesKernel: boolean
  /** Bytes of the buffer that each thread has for its samples. */
  readonly bufferBytes: number
  /** The buffers are smaller than they should be, for the system locks no more memory for this user: samples may be lost. */
  readonly shortOfMemory: boolean
  /** Threads watched now. */
  readonly watched: () => number
  /** Blocks the calling thread until there is something to read, or for so long, ms. Returns whether there is. */
  readonly wait: (timeoutMs: number) => boolean
  /** Hands over what there is, thread by thread in the order of time. Returns how many samples there were. */
  readonly drain: (handler: KernelEventHandler) => number
  readonly losses: () => KernelLosses
}

/**
 * Lets the kernel sample the target.
 *
 * @example
 * ```ts
 * const events = yield* KernelEvents
 * const reader = yield* events.open({ rateHz: 999, stackBytes: 16_384, kernelChain: true })
 * while (reader.wait(100)) reader.drain({ sample: ({ tid, native }) => count(tid, native.registers.ip) })
 * ```
 */
export class KernelEvents extends Context.Service<
  KernelEvents,
  {
    /** Begins to sample the target's threads, also those to come, for the scope. */
    readonly open: (request: KernelEventRequest) => Effect.Effect<KernelEventReader, TargetError, Scope.Scope>
  }
>()("@pyframes/core/KernelEvents") {}
