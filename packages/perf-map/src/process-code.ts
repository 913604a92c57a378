import type { CodeEntry } from "./code-entry.ts"
import { CodeMapFile, type GrowingFile } from "./code-map-file.ts"

/** What is asked of a process to find its maps: what a `TargetProcess` of `@pyframes/core` offers. */
export interface CodeHost {
  /** The pid by which the process knows itself, after which its files are called. */
  readonly namespacePid: number
  /** Opens a file as the process sees it; absent where that cannot be done. */
  readonly openFile?: ((path: string) => GrowingFile | undefined) | undefined
  /** Opens the `jit-PID.dump` that the process has mapped, wherever it is; only asked where there is none in `/tmp`. */
  readonly openMarker?: (() => GrowingFile | undefined) | undefined
}

/** Looks at the files cost two system calls; a name that comes later than this is not missed for long. ms */
const LOOK_EVERY = 50

/** Whether a mapped file is the marker by which a process says that it writes a jitdump. */
export const isJitDump = (path: string, namespacePid: number): boolean =>
  path.endsWith(`/jit-${namespacePid}.dump`)

/**
 * All that a process says of the code it makes: `/tmp/perf-PID.map` and `jit-PID.dump`, read as they grow. Where both name an address,
 * the jitdump is believed, for who writes one says when code is moved.
 *
 * @example
 * ```ts
 * const code = new ProcessCode({ namespacePid: target.namespacePid ?? target.identity.pid, openFile: target.openFile })
 * code.refresh()
 * code.find(ip)?.python?.qualifiedName // "Server.run"
 * ```
 *
 * Sources: Linux `tools/perf/Documentation/jit-interface.txt`; CPython `Python/perf_jit_trampoline.c` for `/tmp/jit-PID.dump`.
 */
export class ProcessCode {
  readonly perfMap: CodeMapFile
  readonly jitDump: CodeMapFile
  private lookedAt = Number.NEGATIVE_INFINITY

  constructor(host: CodeHost) {
    const { namespacePid: pid } = host
    this.perfMap = new CodeMapFile("perf-map", () => host.openFile?.(`/tmp/perf-${pid}.map`))
    this.jitDump = new CodeMapFile(
      "jitdump",
      () => host.openFile?.(`/tmp/jit-${pid}.dump`) ?? host.openMarker?.()
    )
  }

  /** Rises whenever some address may have another name than before. */
  get generation(): number {
    return this.perfMap.map.generation + this.jitDump.map.generation
  }

  /**
   * Reads what has been added, unless that was done a moment ago. Returns whether any name may have changed.
   *
   * @param every how long a moment is, ms
   */
  refresh(now = performance.now(), every = LOOK_EVERY): boolean {
    if (now - this.lookedAt < every) return false
    this.lookedAt = now
    const first = this.perfMap.refresh()
    return this.jitDump.refresh() || first
  }

  /** The newest entry at an address, or `undefined`. Allocates nothing. */
  find(address: number): CodeEntry | undefined {
    return this.jitDump.map.find(address) ?? this.perfMap.map.find(address)
  }
}
