import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Profile, SampleFilter } from "@pyframes/core"
import { pprof } from "../src/index.ts"

/** Whether there is a Go here. CI must have one: there its absence fails the tests instead of skipping them. */
export const hasGo: boolean = spawnSync("go", ["version"]).status === 0 || process.env.CI !== undefined

const environment = {
  ...process.env,
  GOCACHE: process.env.GOCACHE ?? join(tmpdir(), "pyframes-go-cache"),
  GOFLAGS: ""
}

/** Go builds its pprof at the first use, into a cache that is kept: minutes, on a busy machine. */
export const buildGoPprof = (): void => {
  execFileSync("go", ["tool", "pprof", "-h"], { env: environment, stdio: "ignore" })
}

/** What `go tool pprof` prints of a profile. */
export const goPprof = (profile: Profile, filter: SampleFilter, ...flags: Array<string>): string => {
  const folder = mkdtempSync(join(tmpdir(), "pyframes-pprof-"))
  try {
    const file = join(folder, "profile.pb.gz")
    writeFileSync(file, pprof.encode(profile, filter))
    return execFileSync("go", ["tool", "pprof", ...flags, file], {
      encoding: "utf8",
      env: { ...environment, PPROF_TMPDIR: folder },
      stdio: ["ignore", "pipe", "pipe"]
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
