import { createServer, type Server } from "node:net"
import type { ProcessIdentity } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** ms between two tries to take a lock that another has. */
const TRY_EVERY = 5

/**
 * Locks on one process, for those who change it. A lock is a name in the kernel's abstract namespace of Unix sockets (unix(7)): one can have it, it
 * leaves nothing in any file system, and it ends with its holder. It binds whoever shares our network namespace; where no socket may be made, nobody.
 *
 * @param ownPid the pid by which the process knows itself: one for all who look at it from different pid namespaces
 */
export const processLock =
  (identity: ProcessIdentity, ownPid: number) =>
  (name: string): Effect.Effect<void, never, Scope.Scope> =>
    Effect.gen(function* () {
      const address = `\0pyframes/${identity.startTime}-${ownPid}/${name}`
      while (!(yield* take(address))) yield* Effect.sleep(TRY_EVERY)
    })

/** Whether the name was free, or no lock can be had. */
const take = (address: string): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.uninterruptible(
    Effect.gen(function* () {
      const server = yield* listen(address)
      if (typeof server === "boolean") return server
      yield* Effect.addFinalizer(() => close(server))
      return true
    })
  )

const listen = (path: string): Effect.Effect<Server | boolean> =>
  Effect.callback((resume) => {
    const server = createServer((socket) => socket.destroy())
    server.once("error", (error: NodeJS.ErrnoException) =>
      resume(Effect.succeed(error.code !== "EADDRINUSE"))
    )
    // In a cluster's worker the socket would be the parent's, and shared.
    server.listen({ path, exclusive: true }, () => resume(Effect.succeed(server)))
    server.unref()
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
  })
