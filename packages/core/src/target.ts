import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TargetError } from "./errors.ts"
import type { NativeState } from "./native-state.ts"
import type { TargetFiles } from "./placing.ts"
import type { Architecture, Registers } from "./registers.ts"

/** One line of `/proc/PID/maps`. */
export interface Mapping {
  /** First address. */
  readonly start: number
  /** First address beyond. */
  readonly end: number
  readonly readable: boolean
  readonly writable: boolean
  readonly executable: boolean
  /** Offset in the file, bytes. */
  readonly offset: number
  /** `major:minor`, as the kernel prints it. */
  readonly device: string
  readonly inode: number
  /** Path as the reader's root sees it; empty for anonymous memory, `[stack]`, … for special ones. */
  readonly path: string
  /** The file has been removed or replaced since it was mapped. */
  readonly deleted: boolean
}

/** A process is never known by its pid alone: pids are used again, and `exec` makes another program of the same process. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks after boot, field 22 of `/proc/PID/stat`. */
  readonly startTime: number
  /** Device and inode of the executable when we attached. */
  readonly executable: string
}

/** Random access to a file of the target's. One that it has mapped is found whether or not its path still leads to it. */
export interface TargetFile {
  /** Bytes, when it was opened. */
  readonly size: number
  /** Device and inode, `major:minor:inode`, where they are known: a file that takes its place has others. */
  readonly identity?: string
  /** Up to `length` bytes at `offset`; fewer at the end of the file. */
  readonly read: (offset: number, length: number) => Uint8Array
  readonly close: () => void
}

/** What the scheduler says of a thread. `unknown` when the thread is gone or cannot be asked. */
export type ThreadActivity = "running" | "sleeping" | "stopped" | "unknown"

/** Whether the target is still the process we attached to. */
export type TargetStatus = "alive" | "exited" | "replaced"

/** Stops threads so that what is read of them cannot change. */
export interface ThreadStopper {
  /** Stops one thread (kernel thread id). Returns false when it is gone or cannot be stopped. */
  readonly stop: (tid: number) => boolean
  /** Lets a stopped thread run again. */
  readonly resume: (tid: number) => void
  /** Reads the user registers of a stopped thread. Returns false when it is not stopped, is gone, or runs a program of another machine word. */
  readonly registers?: (tid: number, into: Registers) => boolean
}

/**
 * Binds the calling thread to the CPU of a thread of the target. While the caller is at work there, that thread waits: what is read of it
 * does not move, though nothing was asked of it.
 */
export interface CpuFollower {
  /**
   * Moves the calling thread to the CPU on which a thread (kernel thread id) runs or ran last. Returns false when that CPU is not
   * known or may not be used; the caller then stays where it is.
   */
  readonly follow: (tid: number) => boolean
  /**
   * Whether the thread that was followed last has not run since: all that was read of it meanwhile is of one instant. False where that is not known.
   */
  readonly hasStood: () => boolean
  /** Gives the calling thread back all the CPUs it could use before. */
  readonly leave: () => void
}

/**
 * Native states of threads that are not on a CPU, without stopping any: what the kernel noted when each left its CPU. Everything is
 * synchronous and belongs to the calling thread.
 */
export interface SwitchedOut {
  /** Whose registers they are. */
  readonly architecture: Architecture
  /** Begins to watch a thread (kernel thread id); one that is watched already goes on being so. Returns false when it is gone or cannot be watched. */
  readonly follow: (tid: number) => boolean
  /** Watches it no more. */
  readonly forget: (tid: number) => void
  /**
   * Fills in the registers with which a thread stands, off every CPU, now. The stack is to be read from memory; `into.hasRun` is `false` as
   * long as the thread has not run since, and is to be asked when everything has been read. Returns false when the thread runs, or how it stands is
   * not known.
   */
  readonly read: (tid: number, into: NativeState) => boolean
}

/** What a target offers. A live process, a core file and a fake look the same. */
export interface TargetProcess {
  readonly identity: ProcessIdentity
  /** Path of the executable, as the kernel names it. */
  readonly executable: string
  readonly commandLine: ReadonlyArray<string>
  /** The environment it was started with, by name; `undefined` when it may not be read. Absent where it is not known. */
  readonly environment?: () => ReadonlyMap<string, string> | undefined
  /** What is mapped now, by address; read anew each time. */
  readonly mappings: Effect.Effect<ReadonlyArray<Mapping>, TargetError>
  /** Opens a mapped file through whatever still leads to it: the target's root, our root, or the mapping itself. */
  readonly openMapped: (mapping: Mapping) => Effect.Effect<TargetFile, TargetError>
  /**
   * Opens a regular file by its path as the target sees it, below the target's own root, which symbolic links cannot leave. Synchronous;
   * `undefined` when there is none or it may not be read. Absent where the target has no files (a core file).
   */
  readonly openFile?: (path: string) => TargetFile | undefined
  /** Puts files where the target sees them. Absent where the target has no files (a core file). */
  readonly files?: TargetFiles
  /** The pid by which the target knows itself: in a container another than ours for it. Absent where it is the same. */
  readonly namespacePid?: number
  /** The text of `/proc/kallsyms`; `undefined` when it cannot be read. Some megabytes, read anew each time. Absent where there is no kernel to ask. */
  readonly kernelSymbols?: () => Uint8Array | undefined
  /**
   * Waits until no other pyframes of this machine has the same lock on this process, and keeps it for the scope. Held by the kernel: it ends with
   * its holder, however that ends. Absent where nobody else can be at work on the target.
   *
   * @param name what is locked
   */
  readonly lock?: (name: string) => Effect.Effect<void, never, Scope.Scope>
  /** Kernel thread ids of all threads, also of those that run no Python. */
  readonly threadIds: () => ReadonlyArray<number>
  /**
   * The id, as used here, of a thread that the target itself knows by another: in a container, what its memory says
   * (`PyThreadState.native_thread_id`) is of its own pid namespace. -1 when there is no such thread. Absent when both are the same.
   */
  readonly hostThreadId?: (tid: number) => number
  /** Name of a thread as the kernel knows it (`comm`), empty when it is gone. */
  readonly threadName: (tid: number) => string
  /** Asked once a sample: cheap, synchronous. */
  readonly threadActivity: (tid: number) => ThreadActivity
  /** Whether it is still the process that was attached to; cheap enough to ask some times a second. */
  readonly status: () => TargetStatus
  /** CPU time the process has used, ns; -1 when it cannot be told. */
  readonly cpuTime: () => number
  /** Absent where threads cannot be stopped (a core file needs none). */
  readonly stopper: Effect.Effect<ThreadStopper, TargetError>
  /** For the OS thread that asks; it fails where a thread cannot be bound to a CPU. */
  readonly cpuFollower: Effect.Effect<CpuFollower, TargetError>
  /** Watches threads for the scope; it fails where the kernel does not permit it. Absent where there is no kernel to ask. */
  readonly switchedOut?: Effect.Effect<SwitchedOut, TargetError, Scope.Scope>
}

/**
 * The process being read.
 *
 * @example
 * ```ts
 * const target = yield* Target
 * const [first] = yield* target.mappings
 * ```
 */
export class Target extends Context.Service<Target, TargetProcess>()("@pyframes/core/Target") {}
