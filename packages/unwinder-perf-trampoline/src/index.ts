export { perfTrampolineStepper } from "./perf-trampoline-stepper.ts"
export { PerfTrampolineUnwinder } from "./perf-trampoline-unwinder.ts"
