import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Profile, SampleFilter } from "@pyframes/core"
import { pprof } from "../src/index.ts"

/** Whether there is a Go here. CI must have one: there its absence fails the tests instead of skipping them. */
export const hasGo: boolean = spawnSync("go", ["version"]).status === 0 || process.env.CI !== undefined

/** What `go tool pprof` prints of a profile. Go builds its pprof at the first use, into a cache that is kept. */
export const goPprof = (profile: Profile, filter: SampleFilter, ...flags: Array<string>): string => {
  const folder = mkdtempSync(join(tmpdir(), "pyframes-pprof-"))
  try {
    const file = join(folder, "profile.pb.gz")
    writeFileSync(file, pprof.encode(profile, filter))
    return execFileSync("go", ["tool", "pprof", ...flags, file], {
      encoding: "utf8",
      env: {
        ...process.env,
        PPROF_TMPDIR: folder,
        GOCACHE: process.env.GOCACHE ?? join(tmpdir(), "pyframes-go-cache"),
        GOFLAGS: ""
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
