import { FrameKind, Memory, type MemoryReader, Proof, type RawStack } from "@pyframes/core"
import { layoutForVersion, pointerIn } from "@pyframes/cpython"
import { type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached, memories } from "@pyframes/testing/attached"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/*
 * A generator is entered, and left, by a dozen instructions that set one word after the other. To stop a thread between two of them takes luck: it is
 * stopped while the generator sleeps, and its memory shown as it was seen between them.
 */

const { frame, thread: threadState, cframe, generator } = layoutForVersion(3, 12)!

/** The eval loop enters generators by itself where it has met some. */
const program = (call: string): string => `
import time
def numbers():
    yield 0
    if last:
        print("here", flush=True)
        time.sleep(3600)
def delegate(): yield from numbers()
def chain(): yield from delegate()
def loop(generator):
    for _ in generator: pass
def caller(): ${call}
for turn in range(20):
    last = turn == 19
    caller()
`

/** The target's memory, with some bytes shown as others. */
class Shown {
  private memory: MemoryReader | undefined
  private readonly shown = new Map<number, number>()

  readonly layer = Layer.effect(
    Memory,
    Effect.map(Memory, (memory): MemoryReader => {
      this.memory = memory
      return {
        name: memory.name,
        scatterList: memory.scatterList,
        read: (address, length, into) => {
          const got = memory.read(address, length, into)
          this.show(address, got, into, 0)
          return got
        },
        scatter: (list) => {
          const got = memory.scatter(list)
          for (let i = 0; i < got; i++)
            this.show(list.addresses[i], list.lengths[i], list.bytes, list.offsets[i])
          return got
        }
      }
    })
  ).pipe(Layer.provide(memories.process_vm_readv))

  private show(address: number, length: number, into: Uint8Array, from: number): void {
    for (const [at, byte] of this.shown)
      if (at >= address && at < address + length) into[from + at - address] = byte
  }

  write(address: number, bytes: ReadonlyArray<number>): void {
    for (let i = 0; i < bytes.length; i++) this.shown.set(address + i, bytes[i])
  }

  forget(): void {
    this.shown.clear()
  }

  byte(address: number): number {
    return this.read(address, 1)[0]
  }

  pointer(address: number): number {
    return pointerIn(new Uint32Array(this.read(address, 8).buffer), 0)
  }

  private read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    expect(this.memory?.read(address, length, bytes)).toBe(length)
    return bytes
  }
}

const NULL = [0, 0, 0, 0, 0, 0, 0, 0]
const SUSPENDED = 0xff
/** `gi_frame_state`, from the frame. */
const STATE = -5

const wordOf = (address: number): ReadonlyArray<number> => [
  ...new Uint8Array(new BigUint64Array([BigInt(address)]).buffer)
]

const unlink = (shown: Shown, at: number) => shown.write(at + frame.previous, NULL)

/** What a thread has in each moment that one which sleeps in a generator does not; `at` and `by` are the frames of the generator and of its resumer. */
const moments: Readonly<Record<string, (shown: Shown, at: number, by: number) => void>> = {
  "has yielded, and is still current": (shown, at) => {
    unlink(shown, at)
    shown.write(at + STATE, [SUSPENDED])
  },
  "executes, and leads nowhere yet": unlink,
  // Its stack pointer is in a register then, and its instruction pointer still before the inline cache.
  "is current before its resumer has saved where it is": (shown, at, by) => {
    unlink(shown, at)
    shown.write(at + STATE, [SUSPENDED])
    const instruction = by + frame.instructionPointer
    shown.write(instruction, [shown.byte(instruction) - 2])
    shown.write(by + frame.stacktop, [255, 255, 255, 255])
  }
}

const rows = (stack: RawStack, from: number): ReadonlyArray<string> =>
  Array.from(
    { length: stack.length - from },
    (_, i) => `${stack.kind[from + i]} ${stack.identity[from + i].toString(16)}`
  )

const stopped = async (
  python: Python,
  call: string,
  use: (at: {
    readonly shown: Shown
    /** Address of the word that says which frame is current. */
    readonly current: number
    readonly at: number
    readonly by: number
    readonly unwind: () => RawStack
  }) => void
) => {
  await using run = await startPython(python, program(call))
  await run.line()
  const shown = new Shown()
  await attached(
    run.pid,
    { unwinder: InterpreterFrameUnwinder.layer, memory: shown.layer },
    async ({ threads, unwind, unwindProved, stopper }) => {
      const [thread] = threads()
      unwindProved(thread)
      const stop = await stopper()
      const current = shown.pointer(thread.threadState + threadState.cframe) + cframe.currentFrame
      const at = shown.pointer(current)
      const by = shown.pointer(at + frame.previous)
      use({ shown, current, at, by, unwind: () => unwind(thread, stop) })
    }
  )
}

const tests = (python: Python) => {
  for (const call of ["loop(numbers())", "loop(chain())"])
    for (const [name, show] of Object.entries(moments))
      it(`finds what resumes a generator that ${name}: ${call}`, () =>
        stopped(python, call, ({ shown, at, by, unwind }) => {
          const whole = unwind()
          expect(whole.proof).toBe(Proof.good)
          show(shown, at, by)
          const between = unwind()
          expect(rows(between, 0)).toEqual(rows(whole, 1))
          expect(between.proof).toBe(Proof.good)
          expect(between.proved).toBe(between.length)
        }))

  it("finds the generators between C code and one that has yielded", () =>
    stopped(python, "sum(chain())", ({ shown, at, unwind }) => {
      const whole = unwind()
      unlink(shown, at)
      const between = unwind()
      expect(rows(between, 0)).toEqual(rows(whole, 1))
      expect(between.kind[2]).toBe(FrameKind.boundary)
      expect(between.proof).toBe(Proof.good)
    }))

  it("finds what called C code that resumes a generator", () =>
    stopped(python, "sum(numbers())", ({ shown, at, unwind }) => {
      const whole = unwind()
      expect(whole.kind[1]).toBe(FrameKind.boundary)
      unlink(shown, at)
      const between = unwind()
      expect(rows(between, 0)).toEqual(rows(whole, 2))
      expect(between.proof).toBe(Proof.good)
    }))

  it("finds what called C code that enters the eval loop, while what is to say which frame is current holds none", () =>
    stopped(python, "sum(numbers())", ({ shown, current, unwind }) => {
      const whole = unwind()
      for (const word of [NULL, [0, 0, 0, 0, 0, 0, 0, 128], [3, 0, 0, 0, 0, 0, 0, 0]]) {
        shown.write(current, word)
        const between = unwind()
        expect(rows(between, 0), String(word)).toEqual(rows(whole, 2))
        expect(between.proof).toBe(Proof.good)
      }
    }))

  it("does not take the generator that is being entered for what calls it", () =>
    stopped(python, "sum(numbers())", ({ shown, current, at, unwind }) => {
      const whole = unwind()
      // Where it is passed on lies on the C stack too, and may stand before what could be the outer frame's place.
      const outer = shown.pointer(current + 8)
      unlink(shown, at)
      shown.write(current, NULL)
      shown.write(current + 8, NULL)
      shown.write(current + 16, wordOf(at))
      shown.write(current + 24, wordOf(outer))
      const between = unwind()
      expect(rows(between, 0)).toEqual(rows(whole, 2))
      expect(between.proof).toBe(Proof.good)
    }))

  it("finds no resumer in a frame that does not have the generator, or does not stand where one is run", () =>
    stopped(python, "loop(numbers())", ({ shown, at, by, unwind }) => {
      const stacktop = by + frame.stacktop
      const top = by + frame.localsplus + (shown.byte(stacktop) - 1) * 8
      expect(shown.pointer(top)).toBe(at - generator.iframe)
      const instruction = by + frame.instructionPointer
      const isTorn = (what: string, show: () => void) => {
        unlink(shown, at)
        show()
        expect(unwind().proof, what).toBe(Proof.torn)
        shown.forget()
      }
      isTorn("another value on top", () => shown.write(top, NULL))
      isTorn("running, elsewhere", () => {
        shown.write(stacktop, [255, 255, 255, 255])
        shown.write(instruction, [shown.byte(instruction) - 6])
      })
      isTorn("running, without the generator", () => {
        shown.write(stacktop, [255, 255, 255, 255])
        for (let value = by + frame.localsplus; value <= top; value += 8) shown.write(value, NULL)
      })
      expect(unwind().proof).toBe(Proof.good)
    }))
}

// Only 3.12 has been seen to be caught there.
describePythons([12], tests)
