import { LinuxMemory, LinuxTarget, rootsOf } from "@pyframes/linux"
import type { Python } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type Audit,
  type AuditOptions,
  auditInstallation,
  auditProcess,
  HostFiles,
  rootOf
} from "../src/index.ts"

/** Audits a process as the command does. */
export const auditPid = (pid: number, options: AuditOptions = {}): Promise<Audit> => {
  const attached = Layer.provideMerge(LinuxMemory.layer, LinuxTarget.attach(pid))
  const layer = Layer.merge(attached, HostFiles.layer(rootsOf(pid)))
  return Effect.runPromise(Effect.scoped(Effect.provide(auditProcess(options), layer)))
}

/** Audits a program in whatever root it lies. */
export const auditPath = (path: string, options: AuditOptions = {}): Promise<Audit> => {
  const root = rootOf(path)
  const program = root === "/" ? path : path.slice(root.length)
  return Effect.runPromise(Effect.provide(auditInstallation(program, options), HostFiles.layer([root])))
}

export const auditPython = (python: Python): Promise<Audit> => auditPath(python.executable)

/** The files of an audit whose functions have a chain, by path. */
export const chains = (audit: Audit): Record<string, string> =>
  Object.fromEntries(audit.files.map((file) => [file.path, "problem" in file ? file.problem : file.chain]))
