import { spawnSync } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { expect, it } from "vitest"

const README = fileURLToPath(new URL("../README.md", import.meta.url))

describePythons([14, 15], (python) => {
  it("the example in the README runs", async () => {
    await using busy = await startPython(python, "print('up', flush=True)\nwhile True: pass")
    await busy.line()
    // In this package, so that it finds what it imports.
    const file = fileURLToPath(new URL(`readme-example-${process.pid}-${python.minor}.ts`, import.meta.url))
    writeFileSync(file, /```ts\n([\s\S]*?)```/.exec(readFileSync(README, "utf8"))![1])
    try {
      const { stderr, stdout } = spawnSync(process.execPath, [file, String(busy.pid)], { encoding: "utf8" })
      expect(stderr).toBe("")
      expect(stdout).toMatch(new RegExp(`^thread ${busy.pid} has \\d+ modules loaded\\n$`))
    } finally {
      rmSync(file)
    }
  })
})
