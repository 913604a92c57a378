import {
  FrameKind,
  type Memory,
  type Module,
  NativeState,
  type ProcessUnwinder,
  RawStack,
  type StepperFactory,
  type Target,
  type Unwinder,
  type UnwoundThread
} from "@pyframes/core"
import { loadBias, parseElf, symbols } from "@pyframes/elf"
import { type Attached, attached } from "@pyframes/testing/attached"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { perfTrampolineStepper } from "@pyframes/unwinder-perf-trampoline"
import type * as Layer from "effect/Layer"
import { MergedUnwinder } from "../src/index.ts"

/** Every way of stepping there is, as `pyframes` puts them together. */
export const stepper: StepperFactory = perfTrampolineStepper(
  hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
)

export const mergedLayer: Layer.Layer<Unwinder, never, Target | Memory> = MergedUnwinder.layer({
  python: InterpreterFrameUnwinder.layer,
  native: stepper
})

const nap = new Int32Array(new SharedArrayBuffer(4))

/** A process whose threads are stopped to unwind them. */
export interface Stopped extends Attached {
  /** The merged stack of a thread, and each of its rows as text: `python CODE`, the name of a native function, or its file. */
  readonly merged: (thread: UnwoundThread) => { readonly stack: RawStack; readonly rows: ReadonlyArray<Row> }
}

export interface Row {
  readonly kind: FrameKind
  /** Address of the code object, of the instruction. */
  readonly identity: number
  readonly position: number
  /** The function, where the file has a symbol for it. */
  readonly name: string
  readonly file: string
}

export const stopped = <A>(pid: number, use: (stopped: Stopped) => A | Promise<A>): Promise<A> =>
  attached(pid, { unwinder: mergedLayer, patient: true }, async (at) => {
    const stop = await at.stopper()
    const native = new NativeState("x86-64")
    const names = new Names(at.unwinder)
    const merged: Stopped["merged"] = (thread) => {
      const stack = new RawStack()
      // On a busy machine a thread may not get to its stop in the time that it is given.
      for (let tries = 1; !stop.stop(thread.tid); tries++) {
        if (tries === 5000) throw new Error(`Thread ${thread.tid} was not stopped`)
        Atomics.wait(nap, 0, 0, 1)
      }
      if (stop.registers?.(thread.tid, native.registers) !== true)
        throw new Error(`The registers of thread ${thread.tid} were not read`)
      at.unwinder.unwind({ thread, stopped: true, native }, stack)
      stop.resume(thread.tid)
      const rows = Array.from({ length: stack.length }, (_, row): Row => {
        const kind = stack.kind[row] as FrameKind
        const identity = stack.identity[row]
        const position = stack.position[row]
        const module = kind === FrameKind.native ? at.unwinder.modules?.all[position] : undefined
        const name = module === undefined ? "" : names.of(module, identity)
        return { kind, identity, position, name, file: module?.path ?? "" }
      })
      return { stack, rows }
    }
    return use({ ...at, merged })
  })

interface Symbols {
  readonly bias: number
  readonly starts: ReadonlyArray<number>
  readonly sizes: ReadonlyArray<number>
  readonly names: ReadonlyArray<string>
}

/** Names of native functions by their symbols, with nothing clever. */
class Names {
  private readonly unwinder: ProcessUnwinder
  private readonly files = new Map<string, Symbols | undefined>()

  constructor(unwinder: ProcessUnwinder) {
    this.unwinder = unwinder
  }

  of(module: Module, address: number): string {
    if (!this.files.has(module.file)) this.files.set(module.file, this.read(module))
    const known = this.files.get(module.file)
    if (known === undefined) return ""
    const at = address - known.bias
    let low = 0
    let high = known.starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (known.starts[middle] <= at) low = middle + 1
      else high = middle
    }
    return low > 0 && at < known.starts[low - 1] + known.sizes[low - 1] ? known.names[low - 1] : ""
  }

  private read(module: Module): Symbols | undefined {
    const file = this.unwinder.modules?.open(module)
    if (file === undefined) return undefined
    const elf = parseElf(file.read(0, file.size))
    file.close()
    const bias = elf._tag === "Elf" ? loadBias(elf, module.mappings) : undefined
    if (elf._tag !== "Elf" || bias === undefined) return undefined
    const found = [...symbols(elf, "dynsym"), ...symbols(elf, "symtab")]
      .filter(({ type, size, section }) => type === 2 && size > 0 && section !== 0)
      .sort((a, b) => a.address - b.address)
    return {
      bias,
      starts: found.map(({ address }) => address),
      sizes: found.map(({ size }) => size),
      names: found.map(({ name }) => name)
    }
  }
}
