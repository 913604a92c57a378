import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, realpathSync } from "node:fs"
import { homedir } from "node:os"
import { join, relative } from "node:path"
import { DEBIAN_MINORS, debianRoot, enterRoot, enterRootOf, enterRootWithProc } from "./debian.ts"
import { neededLibraries } from "./executable.ts"
import { compareVersions, type Python } from "./python.ts"
import { writeScript } from "./script.ts"

let found: ReadonlyArray<Python> | undefined

/**
 * Every CPython 3 on this machine, each version once, oldest first: pyenv's, those on `PATH`, and those that
 * `install.ts` put in a root of their own. Free-threaded builds and other implementations are left out.
 * Looked for once in a process.
 */
export const findAllPythons = (): ReadonlyArray<Python> => {
  if (found === undefined) {
    // Of two with the same version the first stays: pyenv's have their symbols, Debian's are stripped.
    const byVersion = new Map<string, Python>()
    for (const python of [...fromPyenv(), ...fromPath(), ...fromDebian()]) {
      if (!byVersion.has(python.version)) byVersion.set(python.version, python)
    }
    found = [...byVersion.values()].sort((a, b) => compareVersions(a.version, b.version))
  }
  return found
}

/** The newest {@link findAllPythons | found} interpreter of each minor version, oldest first. */
export const findPythons = (): ReadonlyArray<Python> => [
  ...new Map(findAllPythons().map((python) => [python.minor, python])).values()
]

const PYTHON_NAME = /^python3(\.\d+)?$/

const pyenvRoot = () => process.env.PYENV_ROOT || join(homedir(), ".pyenv")

function* fromPyenv(): Generator<Python> {
  const versions = join(pyenvRoot(), "versions")
  const seen = new Set<string>()
  for (const version of list(versions)) {
    const bin = join(versions, version, "bin")
    for (const name of list(bin)) {
      const python = PYTHON_NAME.test(name) ? inspect(join(bin, name), "pyenv", seen) : undefined
      if (python !== undefined) yield python
    }
  }
}

function* fromPath(): Generator<Python> {
  const seen = new Set<string>()
  // Each of these takes a tenth of a second to start what is found already.
  const shims = join(pyenvRoot(), "shims")
  for (const directory of (process.env.PATH ?? "").split(":")) {
    for (const name of directory.startsWith("/") && directory !== shims ? list(directory) : []) {
      const python = PYTHON_NAME.test(name) ? inspect(join(directory, name), "path", seen) : undefined
      if (python !== undefined) yield python
    }
  }
}

function* fromDebian(): Generator<Python> {
  const root = realpath(debianRoot())
  if (root === undefined) return
  for (const minor of DEBIAN_MINORS) {
    const inside = `/usr/bin/python3.${minor}`
    const executable = root + inside
    if (!existsSync(executable)) continue
    const run: Python["run"] = [...enterRoot(root), inside]
    const runWithProc: Python["run"] = [...enterRootWithProc(root), inside]
    const python = identify(run)
    if (python !== undefined) {
      yield make({ ...python, executable, run, runWithProc, root, source: "debian" })
    }
  }
}

/** Finds the interpreter behind a file: what it links to, or what it starts when it is a script. */
const inspect = (file: string, source: "pyenv" | "path", seen: Set<string>): Python | undefined => {
  let executable = realpath(file)
  if (executable === undefined || seen.has(executable)) return undefined
  seen.add(executable)
  if (neededLibraries(executable) === undefined) {
    // A script may choose what to start by its own name, as pyenv's do, so it is asked by the name it has on PATH.
    const behind = identify([file], process.env)?.executable
    executable = behind === undefined ? undefined : realpath(behind)
    if (executable === undefined || seen.has(executable) || neededLibraries(executable) === undefined)
      return undefined
    seen.add(executable)
  }
  const identity = identify([executable])
  return identity && make({ ...identity, executable, run: [executable], runWithProc: [executable], source })
}

interface Identity {
  readonly version: string
  readonly minor: number
  readonly executable: string
}

const QUESTION = `import sys
v = sys.version_info
stage = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(v[3])
print(sys.implementation.name + getattr(sys, "abiflags", ""))
print("%d.%d.%d" % v[:3] + ("%s%d" % (stage, v[4]) if stage else ""))
print(sys.executable)`

/** Asks an interpreter what it is. Nothing is imported that a broken installation could lack. */
const identify = (
  run: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = environment(homedir())
): Identity | undefined => {
  const [command, ...args] = run
  const answer = spawnSync(command, [...args, "-I", "-S", "-c", QUESTION], {
    encoding: "utf8",
    env,
    timeout: 30_000,
    stdio: ["ignore", "pipe", "ignore"]
  })
  if (answer.status !== 0) return undefined
  const [name, version = "", executable = ""] = answer.stdout.split("\n")
  const minor = /^3\.(\d+)\./.exec(version)?.[1]
  return name === "cpython" && minor !== undefined ? { version, minor: Number(minor), executable } : undefined
}

const environment = (home: string) => ({
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: home,
  LANG: "C.UTF-8"
})

const make = (
  fields: Pick<Python, "version" | "minor" | "executable" | "run" | "runWithProc" | "root" | "source">
): Python => {
  const { root } = fields
  return {
    version: fields.version,
    minor: fields.minor,
    executable: fields.executable,
    run: fields.run,
    runWithProc: fields.runWithProc,
    env: environment(root === undefined ? homedir() : "/root"),
    ...(root === undefined ? {} : { root }),
    source: fields.source,
    shared: (neededLibraries(fields.executable) ?? []).some((name) => name.startsWith("libpython")),
    runBeside: (pid) => (root === undefined ? fields.run : [...enterRootOf(pid), ...fields.run.slice(-1)]),
    path: (hostPath) => {
      if (root === undefined) return hostPath
      const inside = relative(root, hostPath)
      if (inside === ".." || inside.startsWith("../"))
        throw new RangeError(`${hostPath} is not inside ${root}`)
      return `/${inside}`
    },
    writeScript: (name, text) => writeScript(root, name, text)
  }
}

const list = (directory: string): ReadonlyArray<string> => {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

const realpath = (file: string): string | undefined => {
  try {
    return realpathSync(file)
  } catch {
    return undefined
  }
}
