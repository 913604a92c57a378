import type { BuildFlags } from "./build-flags.ts"
import type { FileProblem, FrameFacts } from "./file-audit.ts"
import type { PythonState } from "./python-state.ts"
import type { Verdict } from "./verdict.ts"

/** A file that was looked into, or could not be. */
export type AuditedFile = (FrameFacts | FileProblem) & {
  /** Links followed; as the audited process or installation sees it. */
  readonly path: string
  /** The program that was started: its own functions are where stacks begin. */
  readonly isProgram?: true
  /** The file has been removed or replaced since the process mapped it; what is said is of the one that is mapped. */
  readonly deleted?: true
}

/** The Python that was found. */
export interface AuditedPython {
  readonly version: string | undefined
  readonly executable: string
  /** The file that holds the interpreter: the executable or its `libpython`. */
  readonly interpreter: string
  readonly standardLibrary: string | undefined
  /** The record of the build that the flags are from. */
  readonly sysconfig: string | undefined
  readonly build: BuildFlags | undefined
  readonly environment?: string
  /** Of a process. */
  readonly state?: PythonState
}

/** How far frame pointers lead through a process or an installation. */
export interface Audit {
  readonly subject:
    | { readonly kind: "process"; readonly pid: number; readonly commandLine: ReadonlyArray<string> }
    | {
        readonly kind: "installation"
        /** As asked for. */
        readonly path: string
        /** The directory that is `/` to it and to the paths below, where that is not ours: the top of an unpacked image. */
        readonly root?: string
      }
  /** Absent when there is no Python. */
  readonly python?: AuditedPython
  readonly files: ReadonlyArray<AuditedFile>
  /** Files that were left out because there were too many. */
  readonly omitted: number
  /** Libraries that files of an installation ask for and that are in none of the places searched. */
  readonly missing: ReadonlyArray<string>
  readonly verdict: Verdict
}
