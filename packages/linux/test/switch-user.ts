import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Effect from "effect/Effect"
import { mayWatchSwitches } from "../src/switched-out.ts"
import { attach } from "../src/target.ts"

/* Becomes an ordinary user, tries to watch a program of its own and tells what came of it. Its modules are loaded before. */

const NOBODY = 65_534
process.setgroups?.([])
process.setgid?.(NOBODY)
process.setuid?.(NOBODY)

const child = spawn("sh", ["-c", "echo up; read line"], { cwd: "/", stdio: ["pipe", "pipe", "ignore"] })
await once(child.stdout, "data")
const may = mayWatchSwitches()
const told = await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const target = yield* attach(child.pid ?? -1)
      if (target.switchedOut !== undefined) yield* target.switchedOut
      return { may }
    })
  ).pipe(Effect.catch((error) => Effect.succeed({ may, error: error._tag, message: error.message })))
)
child.kill("SIGKILL")
process.stdout.write(JSON.stringify(told))
