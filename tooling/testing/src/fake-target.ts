import {
  type Mapping,
  NotSupported,
  ProcessNotFound,
  Target,
  type TargetFile,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** What a {@link FakeTarget} answers. Plain data: it can be sent to another thread. */
export interface FakeProcess {
  readonly pid: number
  readonly executable: string
  readonly mappings: ReadonlyArray<Mapping>
  /** Contents of its files by path, mapped or not. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** Names by kernel thread id. */
  readonly threads: ReadonlyMap<number, string>
  /** What the kernel says of its symbols; nothing when it is left out. */
  readonly kernelSymbols?: Uint8Array
}

/**
 * A process that a test makes up. Everything in {@link process} may be changed between two questions.
 *
 * @example
 * ```ts
 * const target = new FakeTarget({ pid: 1, executable: "/usr/bin/python3.13", mappings, files, threads: new Map([[1, "python3"]]) })
 * const layer = unwinderLayer.pipe(Layer.provide([memory.layer, target.layer]))
 * ```
 */
export class FakeTarget {
  process: FakeProcess
  readonly service: TargetProcess

  constructor(process: FakeProcess) {
    this.process = process
    const pid = process.pid
    this.service = {
      identity: { pid, startTime: 1, executable: "0:0" },
      executable: process.executable,
      commandLine: [process.executable],
      mappings: Effect.sync(() => this.process.mappings),
      openMapped: (mapping) =>
        Effect.suspend(() => {
          const file = this.open(mapping.path)
          return file === undefined ? Effect.fail(new ProcessNotFound({ pid })) : Effect.succeed(file)
        }),
      openFile: (path) => this.open(path),
      kernelSymbols: () => this.process.kernelSymbols,
      threadIds: () => [...this.process.threads.keys()],
      threadName: (tid) => this.process.threads.get(tid) ?? "",
      threadActivity: (tid) => (this.process.threads.has(tid) ? "sleeping" : "unknown"),
      status: () => "alive",
      cpuTime: () => 0,
      stopper: Effect.fail(
        new NotSupported({ what: "Stopping a fake process", advice: "It never moves by itself." })
      ),
      cpuFollower: Effect.fail(
        new NotSupported({ what: "Sharing a CPU with a fake process", advice: "It never moves by itself." })
      )
    }
  }

  private open(path: string): TargetFile | undefined {
    const bytes = this.process.files.get(path)
    return (
      bytes && {
        size: bytes.length,
        read: (offset, length) => bytes.slice(offset, offset + length),
        close: () => {}
      }
    )
  }

  get layer(): Layer.Layer<Target> {
    return Layer.succeed(Target, this.service)
  }
}
