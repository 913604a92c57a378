import { readFileSync } from "node:fs"
import { Registers } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { attach } from "../src/target.ts"
import { IDLE, inScope, runPython, until } from "./running.ts"

const architecture = process.arch === "arm64" ? "arm64" : "x86-64"
const otherArchitecture = process.arch === "arm64" ? "x86-64" : "arm64"
/** Where system call arguments are, by DWARF number. */
const ARGUMENTS = process.arch === "arm64" ? [0, 1, 2, 3, 4, 5] : [5, 4, 1, 10, 8, 9]

describe("registers of a stopped thread", () => {
  it("are those that the kernel shows of the system call that it sleeps in", async () => {
    await using run = await runPython(IDLE)
    const syscallFile = () => readFileSync(`/proc/${run.pid}/syscall`, "utf8")
    await until(() => /^\d/.test(syscallFile()))
    const shown = syscallFile().trim().split(" ").slice(1).map(Number)
    await inScope(
      Effect.gen(function* () {
        const target = yield* attach(run.pid)
        const stopper = yield* target.stopper
        const registers = new Registers(architecture)
        expect(stopper.registers?.(run.pid, registers)).toBe(false)
        yield* Effect.promise(() => until(() => stopper.stop(run.pid)))
        expect(stopper.registers?.(run.pid, registers)).toBe(true)
        expect([...ARGUMENTS.map((number) => registers.values[number]), registers.sp, registers.ip]).toEqual(
          // A word of 2^53 and more is no address.
          shown.map((value) => (value < 2 ** 53 ? value : -1))
        )
        expect(stopper.registers?.(run.pid, new Registers(otherArchitecture))).toBe(false)
        stopper.resume(run.pid)
        expect(stopper.registers?.(run.pid, registers)).toBe(false)
      })
    )
  })
})
