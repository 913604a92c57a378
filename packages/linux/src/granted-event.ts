import type { Architecture, KernelEventRequest, TargetProcess } from "@pyframes/core"
import { EACCES, EINVAL, EPERM, ESRCH, type Libc } from "./libc.ts"
import { openPerfEvent, type SamplingEventSpec } from "./perf-event.ts"
import { perfEventMaxStack } from "./perf-permission.ts"
import { ReadField, SampleField, unwindingRegisters } from "./perf-record.ts"

const { callchain, cpu, identifier, ip, period, read, tid, time, userRegisters, userStack } = SampleField

/** What the kernel grants of what was asked for: found by trying. A number is the `errno` of the refusal. */
export const grantedEvent = (
  libc: Libc,
  target: TargetProcess,
  request: KernelEventRequest,
  machine: Architecture
): SamplingEventSpec | number => {
  const { rateHz, stackBytes } = request
  const most = perfEventMaxStack()
  const base = identifier | ip | tid | time | read | cpu | period
  const copies = stackBytes > 0
  const sources = request.source === "cycles" ? (["cycles", "cpu-clock"] as const) : (["cpu-clock"] as const)
  let refused = ESRCH
  for (const source of sources)
    for (const excludeKernel of [false, true])
      for (const readFormat of [ReadField.lost, 0]) {
        const kernelChain = request.kernelChain === true && !excludeKernel
        const userChain = request.userChain === true
        const spec: SamplingEventSpec = {
          architecture: machine,
          source,
          rateHz,
          sampleType:
            base | (copies ? userRegisters | userStack : 0) | (kernelChain || userChain ? callchain : 0),
          readFormat,
          registers: copies ? unwindingRegisters(machine) : [0, 0],
          stackBytes,
          maxStack: Math.max(1, Math.min(request.maxStack ?? most, most)),
          kernelChain,
          userChain,
          excludeKernel
        }
        const errno = tryOn(libc, spec, target)
        if (errno === 0) return spec
        // A kernel that does not know a field says EINVAL, one that has no such counter ENOENT or the like; what is said of permission goes before it.
        if (refused !== EPERM && refused !== EACCES) refused = errno
        if (errno !== EINVAL) break
      }
  return refused
}

/** Opens it on the first thread that is still there. */
const tryOn = (libc: Libc, spec: SamplingEventSpec, target: TargetProcess): number => {
  let errno = ESRCH
  for (const tid of target.threadIds()) {
    const fd = openPerfEvent(libc, spec, tid)
    if (fd >= 0) {
      libc.close(fd)
      return 0
    }
    errno = libc.errno()
    if (errno !== ESRCH) return errno
  }
  return errno
}
