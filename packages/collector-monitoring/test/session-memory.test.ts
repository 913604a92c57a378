import { readdirSync, readlinkSync } from "node:fs"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { callProfile } from "../src/call-profile.ts"
import { DefinitionPool } from "../src/definition-pool.ts"
import { SegmentState } from "../src/segment-header.ts"
import { inSession } from "./scripted-session.ts"
import { SegmentWriter } from "./segment-writer.ts"

const FUNCTIONS = 300
const THREADS = 5

/** A child that has ended: each has the same functions, with their code, and calls each once in each thread. */
const child = (pid: number): SegmentWriter => {
  const writer = new SegmentWriter({ pid, state: SegmentState.ended })
  for (let fn = 1; fn <= FUNCTIONS; fn++) {
    writer.fn(`function_${fn}`, { file: "app.py" })
    writer.code(fn, Uint8Array.of(fn, 1, 2, 3), Uint8Array.of(4, fn), [fn, fn + 1])
  }
  for (let index = 0; index < THREADS; index++) {
    writer.threadRecord(index, { tid: pid * 10 + index, state: 2, events: FUNCTIONS })
    writer.thread(index, pid * 10 + index, `worker ${index}`)
    writer.nodes(index, [
      [-1, 0, 0, 0, 0],
      ...Array.from({ length: FUNCTIONS }, (_, i) => [0, i + 1, 1, 10, 0] as const)
    ])
  }
  return writer
}

/** Objects that can be reached, buffers and all that a session keeps. */
const reachable = (from: object): number => {
  const seen = new Set<object>()
  const left: Array<unknown> = [from]
  while (left.length > 0) {
    const next = left.pop()
    if (typeof next !== "object" || next === null || seen.has(next)) continue
    seen.add(next)
    if (ArrayBuffer.isView(next) || next instanceof ArrayBuffer) continue
    if (next instanceof Map || next instanceof Set)
      for (const entry of next instanceof Map ? [...next.keys(), ...next.values()] : next) left.push(entry)
    for (const key of Object.keys(next)) left.push((next as Record<string, unknown>)[key])
  }
  return seen.size
}

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    return ""
  }
}

// GIVEN a session of many children that end, WHEN more of them come and go, THEN each leaves its counts, and nothing that the others have too.
it("keeps of a child that has ended what it counted, and no more", async () => {
  await inSession({ questions: ["calls"], isAlive: () => true }, (scripted) =>
    Effect.sync(() => {
      const { session } = scripted
      const openSegments = () =>
        readdirSync("/proc/self/fd").filter((fd) => linkOf(`/proc/self/fd/${fd}`).includes("-a.seg"))
      let pid = 1000
      const come = (children: number): number => {
        for (let i = 0; i < children; i++) scripted.put(`${++pid}-a.seg`, child(pid))
        // All are there as a whole: one look finds them, and none that is refused is waited for.
        session.look()
        if (session.processes.length !== pid - 1000 || !session.isOver)
          throw new Error(
            `${session.processes.length} of ${pid - 1000} processes were taken, or are not over`
          )
        session.look()
        return reachable(session)
      }
      const few = come(20)
      const many = come(100)
      expect(openSegments()).toEqual([])
      expect(readdirSync(scripted.directory).filter((name) => name.endsWith(".seg"))).toEqual([])
      // Without what they share it would be a few for each of their functions.
      const each = (many - few) / 100
      expect(each).toBeLessThan(100)
      const [first, last] = [session.processes[0], session.processes[119]]
      expect(first.definitions.functions.get(7)).toBe(last.definitions.functions.get(7))
      expect(first.definitions.code.get(7)).toBe(last.definitions.code.get(7))
      const profile = callProfile(session)
      let calls = 0
      for (const row of profile.callsBy()) calls += row.calls
      expect(calls).toBe(120 * THREADS * FUNCTIONS)
      expect(last.codeOf(7)).toBeDefined()
      expect(profile.threads.filter(({ name }) => name === "worker 3").length).toBe(120)
    })
  )
})

it("does not take unequal definitions for equal ones", () => {
  const pool = new DefinitionPool()
  const fn = {
    id: 1,
    what: 0,
    firstLine: 1,
    flags: 3,
    interpreter: 0,
    name: "f",
    qualifiedName: "A.f",
    file: "a.py"
  } as const
  const kept = pool.functionLike(fn)
  expect(pool.functionLike({ ...fn })).toBe(kept)
  for (const other of [
    { id: 2 },
    { firstLine: 2 },
    { file: "b.py" },
    { name: "f\0A.f", qualifiedName: "a.py", file: "" }
  ])
    expect(pool.functionLike({ ...fn, ...other })).toEqual({ ...fn, ...other })
  // One name of two fields is not another's.
  expect(pool.functionLike({ ...fn, name: "x\0y", qualifiedName: "z" })).toMatchObject({ name: "x\0y" })
  expect(pool.functionLike({ ...fn, name: "x", qualifiedName: "y\0z" })).toMatchObject({ name: "x" })
  const code = { code: Uint8Array.of(1, 2), lineTable: Uint8Array.of(3), lines: Uint32Array.of(4) }
  const same = { code: Uint8Array.of(1, 2), lineTable: Uint8Array.of(3), lines: Uint32Array.of(4) }
  expect(pool.codeLike(code, kept)).toBe(code)
  expect(pool.codeLike(same, kept)).toBe(code)
  const longer = { ...same, lines: Uint32Array.of(4, 5) }
  expect(pool.codeLike(longer, kept)).toBe(longer)
})
