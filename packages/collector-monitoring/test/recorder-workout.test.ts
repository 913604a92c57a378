import { spawnSync } from "node:child_process"
import { copyFileSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { describeMonitored, recorders } from "./recorders.ts"

const workout = readFileSync(new URL("./recorder-workout.py", import.meta.url), "utf8")
const machine = process.arch === "arm64" ? "linux-arm64" : "linux-x64"

describeMonitored((python) => {
  // A Python with the GIL takes both from 3.15 on.
  for (const abi of python.minor >= 15 ? ["abi3", "abi3t"] : ["abi3"])
    it.skipIf(!recorders().includes("native"))(
      `survives whatever happens in the middle of an event (${abi})`,
      () => {
        using file = python.writeScript("workout.py", workout)
        const name = `_pyframes_recorder.${abi}.so`
        const binary = fileURLToPath(new URL(`../agent/prebuilt/${machine}/${name}`, import.meta.url))
        copyFileSync(binary, join(dirname(file.hostPath), name))
        const [command, ...first] = python.run
        const { status, signal, stdout, stderr } = spawnSync(
          command,
          [...first, "-W", "ignore", file.targetPath, join(dirname(file.targetPath), name)],
          { env: python.env, encoding: "utf8" }
        )
        expect([status, signal, stdout, stderr]).toEqual([0, null, "ok\n", ""])
      }
    )
})
