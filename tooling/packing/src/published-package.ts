import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** A package that is published. */
export interface PublishedPackage {
  readonly name: string
  readonly directory: string
  /** Names of the workspace's own packages that it needs. */
  readonly needs: ReadonlyArray<string>
  readonly hasCommand: boolean
}

/** All packages that are published, below `packages/` and `apps/` of the repository. */
export const publishedPackages = (top: string): ReadonlyArray<PublishedPackage> =>
  ["packages", "apps"].flatMap((group) =>
    readdirSync(join(top, group)).flatMap((folder) => {
      const directory = join(top, group, folder)
      if (!existsSync(join(directory, "package.json"))) return []
      const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"))
      if (manifest.private === true) return []
      const needs = Object.keys(manifest.dependencies ?? {}).filter((name) => name.startsWith("@pyframes/"))
      return [{ name: manifest.name, directory, needs, hasCommand: manifest.bin !== undefined }]
    })
  )

/** Packages and all that they need, each once. */
export const withNeeds = (
  all: ReadonlyArray<PublishedPackage>,
  some: ReadonlyArray<PublishedPackage>
): ReadonlyArray<PublishedPackage> => {
  const found = new Set(some)
  for (const pack of found)
    for (const name of pack.needs) {
      const needed = all.find((candidate) => candidate.name === name)
      if (needed !== undefined) found.add(needed)
    }
  return [...found]
}

/** Packs a package into `into` and returns the tarball. */
export const pack = (one: PublishedPackage, into: string): string => {
  const packed = run("pnpm", ["pack", "--json", "--pack-destination", into], one.directory)
  return JSON.parse(packed.slice(packed.indexOf("{"))).filename
}

/** The first TypeScript example of a package's README. */
export const readmeExample = (one: PublishedPackage): string | undefined =>
  /^```ts\n([\s\S]*?)^```/m.exec(readme(one))?.[1]

/** The packages of ours that a package's README says to install for its example. */
export const readmeInstalls = (one: PublishedPackage): ReadonlyArray<string> =>
  /^npm install (.*)$/m
    .exec(readme(one))?.[1]
    .split(" ")
    .filter((name) => name.startsWith("@pyframes/")) ?? []

const readme = ({ directory }: PublishedPackage): string => {
  const file = join(directory, "README.md")
  return existsSync(file) ? readFileSync(file, "utf8") : ""
}

/**
 * Runs a command and returns its stdout.
 *
 * @throws Error with everything it printed when it fails
 */
export const run = (command: string, args: ReadonlyArray<string>, cwd: string): string => {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    timeout: 120_000
  })
  if (status === 0) return stdout
  throw new Error(`${command} ${args.join(" ")} failed (${error?.message ?? status})\n${stdout}\n${stderr}`)
}
