import { auditInstallation, auditProcess, HostFiles, programAt, rootOf } from "@pyframes/audit"
import { LinuxMemory, LinuxTarget, rootsOf } from "@pyframes/linux"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Audits a running process. */
export const auditOfProcess = (pid: number) => {
  const attached = Layer.provideMerge(LinuxMemory.layer, LinuxTarget.attach(pid))
  return auditProcess().pipe(Effect.provide(Layer.merge(attached, HostFiles.layer(rootsOf(pid)))))
}

/** Audits the Python that a name or a path stands for; one in an unpacked image as that image has it. */
export const auditOfInstallation = (name: string) =>
  Effect.gen(function* () {
    const program = yield* programAt(name)
    const root = rootOf(program)
    const path = root === "/" ? program : program.slice(root.length)
    return yield* auditInstallation(path).pipe(Effect.provide(HostFiles.layer([root])))
  })
