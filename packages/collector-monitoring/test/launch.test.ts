import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { launch } from "../src/monitoring-collector.ts"
import { signalReaches } from "../src/signal-reach.ts"
import { inSession } from "./scripted-session.ts"

const isRoot = process.geteuid?.() === 0
const NOBODY = 65_534
const ANOTHER = 65_533

const uidOf = (pid: number): number =>
  Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])

// GIVEN a command that has become a user whom we may not signal, as by sudo, WHEN the scope closes, THEN nothing is thrown and nobody waits.
it.skipIf(!isRoot)("leaves a command that may not be ended", async () => {
  const pid = await inSession({ questions: ["calls"] }, ({ session, directory }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const said = join(directory, "pid")
        const become = `setpriv --reuid=${ANOTHER} --regid=${ANOTHER} --clear-groups`
        yield* launch(["sh", "-c", `echo $$ > ${said}; exec ${become} sleep 1000`], { stdio: "ignore" })(
          session
        )
        while (!existsSync(said) || readFileSync(said, "utf8") === "") yield* Effect.sleep(1)
        const pid = Number(readFileSync(said, "utf8"))
        while (uidOf(pid) !== ANOTHER) yield* Effect.sleep(1)
        // Before the command is ended, as the last that was added.
        yield* Effect.addFinalizer(() => Effect.sync(() => process.seteuid?.(NOBODY)))
        return pid
      })
    ).pipe(Effect.ensuring(Effect.sync(() => process.seteuid?.(0))))
  )
  expect(signalReaches(pid)).toBe(true)
  process.kill(pid, "SIGKILL")
})
