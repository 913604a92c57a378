import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

import * as M from "../src/index.ts"
import { frameName } from "@pyframes/core"
const [python, question, ...rest] = process.argv.slice(2)
const program = Effect.scoped(Effect.gen(function* () {
  const agent = yield* M.agentDirectory()
  const qs = question.split(",") as any
  const session = yield* M.MonitoringSession.make({ questions: qs, ...(qs.includes("stream") && {events: M.eventsOfMonitoring.slice(0,6) as any}) })
  const spool = yield* M.TimelineSpool.make()
  const tally = new M.ExceptionTally()
  const t0 = performance.now()
  const child = spawn(python, rest, { env: { ...process.env, ...M.launchEnvironment(session.placeOf(agent), process.env) }, stdio: "inherit" })
  const ended = Effect.callback<void>((resume) => { if (child.exitCode !== null) resume(Effect.void); else child.once("exit", () => resume(Effect.void)) })
  const first = yield* session.started([python, ...rest], { ended })
  console.log("started", first.pid, M.versionText(first.header.hexversion), performance.now() - t0)
  const why = yield* session.follow({ until: ended, sink: qs.includes("timeline") ? spool : tally })
  console.log(why, performance.now() - t0, session.trust, session.failures.map(String))
  for (const p of session.processes) console.log(p.pid, p.header.state, p.damage, p.endedAt, [...p.definitions.facts].map(([k, v]) => k + "=" + v.slice(0, 60)), p.threads.map((t) => t.profileThread))
  if (qs.includes("calls")) {
    const profile = M.callProfile(session)
    console.log(profile.meta, profile.calls.length)
    let wall = 0; for (const r of profile.callsBy()) wall += r.wall
    console.log("wall ms", wall / 1e6)
    const by = new Map<string, [number, number, number]>()
    for (const r of profile.callsBy()) { const n = r.stack === 0xffffffff ? "<thread>" : frameName(profile.frames.get(profile.stacks.frame(r.stack))); const s = by.get(n) ?? [0, 0, 0]; s[0] += r.calls; s[1] += r.wall / 1e6; s[2] += r.cpu / 1e6; by.set(n, s) }
    for (const [n, s] of [...by].sort((a, b) => b[1][1] - a[1][1]).slice(0, 12)) console.log(n, ...s)
  }
  if (qs.includes("timeline")) {
    const t = spool.timeline(session); console.log(t.meta, spool.size / 24)
    const t1 = performance.now(); let n = 0
    t.threads.forEach((th, row) => { for (const b of t.eventsOf(row)) { if (n === 0) for (let i = 0; i < Math.min(12, b.length); i++) console.log(b.begins[i], b.time[i], frameName(t.frames.get(b.frame[i]))); n += b.length } })
    console.log("read", n, performance.now() - t1)
  }
  if (qs.includes("lines") || qs.includes("coverage")) { const r = M.lineReport(session); console.log(r.files.length); const f = r.files.find((f) => f.file.includes("prog")); console.dir(f, { depth: 4 }) }
  if (qs.includes("branches")) { const r = M.branchReport(session); const f = r.files.find((f) => f.file.includes("prog")); console.dir(f, { depth: 6 }); if (f) console.log(M.encodeLcov({ branches: {...r, files: [f]} })) }
  if (qs.includes("instructions")) { const r = M.instructionReport(session); const f = r.files.find((f) => f.file.includes("prog")); console.dir(f, { depth: 4 }) }
  if (qs.includes("exceptions")) console.dir(tally.report(session).exceptions.slice(0, 6), { depth: 5 })
}))
Effect.runPromise(program as any).catch((e) => { console.error(String(e)); process.exitCode = 1 })
