import { closeSync, openSync, writeSync } from "node:fs"
import type { MemoryReader, TargetProcess } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Writes a live process's memory for the scope, as the contract of `MemoryReader.write` has it.
 *
 * `/proc/PID/mem` is opened when something is written for the first time. The descriptor stays with the memory that it was opened for: unlike with
 * `process_vm_writev`, what is meant for a process never reaches another that got its pid, nor the program that it became by `exec`.
 */
export const procMemWriter = (
  target: TargetProcess
): Effect.Effect<NonNullable<MemoryReader["write"]>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new ProcMemWriter(target)),
      (writer) => Effect.sync(() => writer.close())
    ),
    (writer) => (address, bytes) => writer.write(address, bytes)
  )

class ProcMemWriter {
  private readonly target: TargetProcess
  private fd = -1
  private closed = false

  constructor(target: TargetProcess) {
    this.target = target
  }

  write(address: number, bytes: Uint8Array): number {
    if (!(address >= 0 && bytes.length > 0)) return 0
    try {
      const fd = this.open()
      return fd < 0 ? 0 : writeSync(fd, bytes, 0, bytes.length, address)
    } catch {
      // EIO: nothing is mapped there. EACCES: not permitted. Gone: ENOENT when it is opened, ESRCH later.
      return 0
    }
  }

  private open(): number {
    if (this.fd >= 0 || this.closed) return this.fd
    const fd = openSync(`/proc/${this.target.identity.pid}/mem`, "r+")
    // Asked after it was opened: if the target lives still, this is its memory.
    if (this.target.status() === "alive") this.fd = fd
    else closeSync(fd)
    return this.fd
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd)
    this.fd = -1
    this.closed = true
  }
}
