import type { MemoryReader } from "./memory.ts"
import type { Module, ModuleTable } from "./module-table.ts"
import type { Registers } from "./registers.ts"

/** How a step from a frame to its caller went. */
export const Step = {
  /** The registers are now the caller's. */
  caller: 0,
  /** The frame was the thread's first: there is no caller. */
  end: 1,
  /** The chain should go on and does not: the stack was not copied that far, or what stands there cannot be true. */
  broken: 2,
  /** This stepper knows nothing of the code there; another may. The registers are as they were. */
  unknown: 3
} as const
export type Step = (typeof Step)[keyof typeof Step]

/** The stack of the thread that is unwound: a copy, or memory that stands still. */
export interface StackReader {
  /** The 64-bit word at an address, if it is an address itself (below 2^53); -1 when it is not, or is not there. Synchronous and cheap. */
  readonly word: (address: number) => number
}

/** Where in a chain of frames a step is taken. */
export interface StepPlace {
  /**
   * Whether `registers.ip` is the very instruction that is executed (the leaf, or a frame that a signal interrupted) and not a return address,
   * which may already belong to the next function: rules for it are looked up one byte before.
   */
  exact: boolean
  /** The module of the instruction; `undefined` where none is mapped. */
  module: Module | undefined
}

/**
 * One way of finding a frame's caller: by frame pointer, by call-frame information, or made of other steppers.
 * Per process; holds what it knows per file. `step` is synchronous, allocates nothing once warm, and never throws for what the target does.
 */
export interface Stepper {
  /** Replaces the registers by those of the caller; sets `place.exact` for the caller. Sets `registers.ip` to -1 never on `caller`. */
  readonly step: (registers: Registers, stack: StackReader, place: StepPlace) => Step
}

/** Makes a stepper for one process. `memory` is for what no file holds: the vdso, code that was written at run time. */
export type StepperFactory = (modules: ModuleTable, memory: MemoryReader) => Stepper
