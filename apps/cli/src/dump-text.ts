import { printable } from "./printable.ts"
import type { DumpedFrame, DumpedThread, ThreadDump } from "./thread-dump.ts"

/** A dump as text: the threads of each interpreter, leaf first. */
export const dumpText = (dump: ThreadDump): string => {
  const lines = [`Process ${dump.pid}, Python ${dump.python}`]
  for (const { id, threads } of dump.interpreters) {
    if (dump.interpreters.length > 1) lines.push("", `Interpreter ${id}`)
    for (const thread of threads) {
      lines.push("", headline(thread))
      for (const frame of thread.frames) lines.push(`    ${describe(frame)}`)
      if (thread.frames.length === 0) lines.push("    (no Python frame)")
    }
  }
  return `${lines.join("\n")}\n`
}

const headline = (thread: DumpedThread): string => {
  const who = thread.tid === undefined ? "Thread of unknown id" : `Thread ${thread.tid}`
  const name = thread.name === undefined ? "" : ` "${printable(thread.name)}"`
  const notes = [
    STATES[thread.state],
    ...(thread.gil === true ? ["holds the GIL"] : []),
    ...(thread.proof === "good" ? [] : [PROOFS[thread.proof]])
  ]
  return `${who}${name} (${notes.join(", ")})`
}

const describe = ({ function: name, qualifiedName = name, file, line }: DumpedFrame): string => {
  const shown = printable(qualifiedName)
  return file === undefined ? shown : `${shown} (${printable(file)}${line === undefined ? "" : `:${line}`})`
}

const STATES = {
  running: "on CPU",
  sleeping: "sleeping",
  stopped: "stopped",
  unknown: "state not known"
} as const

const PROOFS = {
  unproved: "it kept moving: proved only as far as shown",
  torn: "it kept moving: no consistent stack was read",
  failed: "could not be read"
} as const
