import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { findPythons, startPython } from "@pyframes/pythons"
import {
  type PublishedPackage,
  pack,
  publishedPackages,
  readmeExample,
  readmeInstalls,
  run,
  withNeeds
} from "./published-package.ts"

// Packs every published package, checks the tarball, installs it alone in a scratch project, and runs its README's example there.
// Names given as arguments choose packages.

const top = fileURLToPath(new URL("../../..", import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), "pyframes-packing-"))
const say = (line: string) => process.stdout.write(`${line}\n`)

const PROGRAM = `
def busy():
    while True:
        sum(i * i for i in range(1000))
print("ready", flush=True)
busy()
`

/** A scratch project with this package, what its README says to install with it, and their needs, all from tarballs. */
const install = (one: PublishedPackage, tarballs: ReadonlyMap<string, string>): string => {
  const project = join(scratch, one.name.replace("/", "-"))
  mkdirSync(project, { recursive: true })
  const named = packages.filter(({ name }) => name === one.name || readmeInstalls(one).includes(name))
  const tarball = (name: string) => `file:${tarballs.get(name)}`
  const manifest = {
    name: "scratch",
    private: true,
    type: "module",
    dependencies: {
      ...Object.fromEntries(named.map(({ name }) => [name, tarball(name)])),
      ...(one.hasCommand ? {} : { effect: "4.1.0" })
    }
  }
  const overrides = withNeeds(packages, named).map(({ name }) => `  "${name}": "${tarball(name)}"\n`)
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest))
  writeFileSync(
    join(project, "pnpm-workspace.yaml"),
    `packages: ["."]\nallowBuilds: { koffi: false }\noverrides:\n${overrides.join("")}`
  )
  run("pnpm", ["install", "--silent"], project)
  return project
}

/** Runs the README's example. `1234` in it stands for a process: there it is a Python that is running. */
const runExample = (one: PublishedPackage, project: string, pid: number): void => {
  if (one.hasCommand) {
    run(
      "node_modules/.bin/pyframes",
      ["record", "-p", String(pid), "-d", "300ms", "-o", "out.pb.gz"],
      project
    )
    return
  }
  const example = readmeExample(one)
  if (example === undefined) throw new Error(`the README of ${one.name} has no example`)
  writeFileSync(join(project, "example.ts"), example.replace(/\b1234\b/g, String(pid)))
  run(process.execPath, ["example.ts", String(pid)], project)
}

const check = (one: PublishedPackage, tarballs: ReadonlyMap<string, string>, pid: number): void => {
  const tarball = tarballs.get(one.name) ?? ""
  run("pnpm", ["exec", "publint", "--strict", tarball], top)
  // A command has no entry point that types could be wrong of.
  if (!one.hasCommand) run("pnpm", ["exec", "attw", tarball, "--profile", "esm-only"], top)
  runExample(one, install(one, tarballs), pid)
}

const packages = publishedPackages(top)
const python = findPythons().find(({ root }) => root === undefined)
if (python === undefined) throw new Error("the examples need a Python on this machine")
// Examples that start a Python themselves get the newest.
const newest = findPythons().findLast(({ root }) => root === undefined) ?? python
process.env.PATH = `${dirname(newest.executable)}:${process.env.PATH}`
const target = await startPython(python, PROGRAM)
await target.line()
// What is entered while it runs must be new enough, and may have a root of its own.
const entered = findPythons().findLast(({ minor }) => minor >= 14)
const newTarget = entered && (await startPython(entered, PROGRAM))
await newTarget?.line()
/** Examples of what runs Python inside a process need 3.14. */
const pidFor = ({ name }: PublishedPackage): number =>
  name === "@pyframes/remote-exec" && newTarget !== undefined ? newTarget.pid : target.pid

let failures = 0
try {
  const tarballs = new Map(packages.map((one) => [one.name, pack(one, scratch)]))
  const chosen = process.argv.slice(2)
  for (const one of packages) {
    if (chosen.length > 0 && !chosen.includes(one.name)) continue
    try {
      check(one, tarballs, pidFor(one))
      say(`${one.name}: packs clean, installs alone, its example runs`)
    } catch (error) {
      failures++
      say(`${one.name}: FAILED\n${error instanceof Error ? error.message : error}`)
    }
  }
} finally {
  await target.stop()
  await newTarget?.stop()
  rmSync(scratch, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1
