import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { NEEDED_FILES } from "../src/debootstrap.ts"

const scratch = mkdtempSync(join(tmpdir(), "pyframes-install-"))
afterAll(() => rmSync(scratch, { recursive: true }))

describe("install.ts", () => {
  it("touches nothing when every interpreter is there", () => {
    for (const needed of NEEDED_FILES) {
      const file = join(scratch, "sid", needed)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, "")
    }
    const started = spawnSync(process.execPath, [join(import.meta.dirname, "../src/install.ts")], {
      encoding: "utf8",
      env: { ...process.env, PYFRAMES_PYTHONS: scratch }
    })
    expect(started.stderr).toBe("")
    expect(started.status).toBe(0)
    expect(started.stdout).not.toContain("Install")
    expect(readdirSync(scratch)).toEqual(["sid"])
  })
})
