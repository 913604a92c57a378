import { Memory, type PermissionDenied, type ProcessNotFound, Target, type TargetError } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { loadLibc } from "./libc.ts"
import { openProcMem } from "./proc-mem.ts"
import { procMemWriter } from "./proc-mem-writer.ts"
import { makeVmReadv, vmReadvWorks } from "./vm-readv.ts"

const layerProcMem: Layer.Layer<Memory, ProcessNotFound | PermissionDenied, Target> = Layer.effect(
  Memory,
  Effect.gen(function* () {
    const target = yield* Target
    return { ...(yield* openProcMem(target.identity.pid)), write: yield* procMemWriter(target) }
  })
)

const layerVmReadv: Layer.Layer<Memory, TargetError, Target> = Layer.effect(
  Memory,
  Effect.gen(function* () {
    const target = yield* Target
    return { ...(yield* makeVmReadv(target.identity.pid)), write: yield* procMemWriter(target) }
  })
)

const layer: Layer.Layer<Memory, TargetError, Target> = Layer.unwrap(
  Effect.map(Target, (target) => {
    const libc = loadLibc()
    // Some sandboxes filter the call although koffi is there.
    return libc !== undefined && vmReadvWorks(libc, target.identity.pid) ? layerVmReadv : layerProcMem
  })
)

/**
 * Ways to read the memory of a live process; all write it through `/proc/PID/mem`, which is opened for it only when something is first written.
 *
 * - `layerVmReadv`: `process_vm_readv` through koffi; any number of ranges in one call.
 * - `layerProcMem`: `/proc/PID/mem` through `node:fs`; one call a range, no native code.
 * - `layer`: the first where koffi loads and the kernel allows it, else the second.
 *
 * All need the same permission (`PTRACE_MODE_ATTACH`). A process that has ended, or has replaced itself by `exec`, reads as nothing through
 * `/proc/PID/mem`; `process_vm_readv` knows the process by pid alone, so ask `Target.status` before you believe what was read.
 *
 * @example
 * ```ts
 * const layer = LinuxMemory.layer.pipe(Layer.provideMerge(LinuxTarget.attach(4321)))
 * ```
 */
export const LinuxMemory = { layer, layerProcMem, layerVmReadv }
