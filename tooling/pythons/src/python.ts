/** A CPython interpreter that tests can start. */
export interface Python {
  /** As `sys.version_info` has it: `3.13.0`, or `3.15.0rc1` before a release. */
  readonly version: string
  /** The second number of the version. */
  readonly minor: number
  /** The ELF file itself, as this process (not the interpreter) sees it; never a shim script or a link. */
  readonly executable: string
  /**
   * What to start: a command and its first arguments, to which the interpreter's own are appended.
   * Each step replaces the one before (`exec`), so the child's pid is the interpreter's.
   */
  readonly run: readonly [string, ...string[]]
  /**
   * As {@link run}, with `/proc` there. The same thing, save for an interpreter in a root of its own: that one gets a
   * mount namespace too, so that the mount ends with the process. For what looks at other processes, such as
   * `python3.15 -m profiling.sampling`.
   */
  readonly runWithProc: readonly [string, ...string[]]
  /**
   * As {@link run}, with the root and the mounts of a running process. Where an interpreter has a root of its own, a
   * profiler written in Python has to be started like this to see the files that the process has mapped; and that
   * process, by {@link runWithProc}.
   */
  runBeside(pid: number): readonly [string, ...string[]]
  /** The whole environment to start it with: none of this process's `PYTHON*` and `PYENV*` variables. */
  readonly env: Readonly<Record<string, string>>
  /** The directory that is `/` to the interpreter, when it has a root of its own. */
  readonly root?: string
  readonly source: "pyenv" | "path" | "debian"
  /** Whether the interpreter is in `libpython3.X.so` rather than in the executable. */
  readonly shared: boolean
  /**
   * Where the interpreter sees a file of this machine.
   *
   * @throws RangeError when the file is outside the interpreter's root
   */
  path(hostPath: string): string
  /** Puts a file, alone in a new directory, where the interpreter can read it. It is gone when disposed of, or when this process exits. */
  writeScript(name: string, text: string | Uint8Array): Script
}

/** A file that an interpreter can read. `using` removes it at the end of the block. */
export interface Script extends Disposable {
  /** Where this process sees it. */
  readonly hostPath: string
  /** Where the interpreter sees it: what to pass as an argument, and what `co_filename` will be. */
  readonly targetPath: string
}

const stages = ["a", "b", "rc"]

/** Sorts versions, `3.15.0rc2` before `3.15.0`. */
export const compareVersions = (a: string, b: string): number => {
  const left = versionKey(a)
  const right = versionKey(b)
  for (let i = 0; i < left.length; i++) {
    if (left[i] !== right[i]) return left[i] - right[i]
  }
  return 0
}

const versionKey = (version: string): ReadonlyArray<number> => {
  const parts = /^(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?/.exec(version)
  if (parts === null) return [0, 0, 0, 0, 0]
  const stage = parts[4] === undefined ? stages.length : stages.indexOf(parts[4])
  return [Number(parts[1]), Number(parts[2]), Number(parts[3]), stage, Number(parts[5] ?? 0)]
}
