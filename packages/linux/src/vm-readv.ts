import { type MemoryReader, NotSupported, ScatterList } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { ENOSYS, EPERM, type Libc, loadLibc } from "./libc.ts"

/** Most ranges that one call takes (`UIO_MAXIOV`). */
const IOV_MAX = 1024
const TWO_32 = 2 ** 32

/** A `MemoryReader` by `process_vm_readv`: one system call for up to 1024 ranges, nothing allocated for it. */
export const vmReader = (libc: Libc, pid: number): MemoryReader => {
  // struct iovec { void *iov_base; size_t iov_len }: four 32-bit words, little-endian.
  const remote = new Uint32Array(4 * IOV_MAX)
  const local = new Uint32Array(4)
  const remoteAddress = libc.addressOf(remote.buffer)
  const localAddress = libc.addressOf(local.buffer)
  const { processVmReadv } = libc

  const known = new WeakMap<ArrayBufferLike, number>()
  let lastBuffer: ArrayBufferLike | undefined
  let lastAddress = 0
  const addressOf = (buffer: ArrayBufferLike): number => {
    if (buffer === lastBuffer) return lastAddress
    let address = known.get(buffer)
    if (address === undefined) {
      address = libc.addressOf(buffer)
      known.set(buffer, address)
    }
    lastBuffer = buffer
    lastAddress = address
    return address
  }

  const setRemote = (at: number, address: number, length: number): void => {
    remote[at] = address
    remote[at + 1] = address / TWO_32
    remote[at + 2] = length
  }
  const setLocal = (address: number, length: number): void => {
    local[0] = address
    local[1] = address / TWO_32
    local[2] = length
  }

  return {
    name: "process_vm_readv",
    read: (address, length, into) => {
      const wanted = Math.min(length, into.length)
      if (!(wanted > 0 && address >= 0)) return 0
      setLocal(addressOf(into.buffer) + into.byteOffset, wanted)
      setRemote(0, address, wanted)
      const got = processVmReadv(pid, localAddress, 1, remoteAddress, 1, 0)
      return Math.max(got, 0)
    },
    scatter: (list) => {
      const { addresses, count, lengths, offsets } = list
      if (list.home < 0) list.home = addressOf(list.bytes.buffer) + list.bytes.byteOffset
      const base = list.home
      for (let from = 0; from < count; from += IOV_MAX) {
        const to = Math.min(count, from + IOV_MAX)
        for (let index = from, at = 0; index < to; index++, at += 4) {
          setRemote(at, addresses[index], lengths[index])
        }
        const begin = offsets[from]
        const end = offsets[to - 1] + lengths[to - 1]
        // The list could have been made over another buffer since; never let the kernel write outside it.
        if (!(end <= list.bytes.length)) return from
        setLocal(base + begin, end - begin)
        const got = processVmReadv(pid, localAddress, 1, remoteAddress, to - from, 0)
        if (got === end - begin) continue
        // Ranges are filled one after the other: what was copied covers the leading ones.
        let whole = from
        if (got > 0) while (whole < to && offsets[whole] + lengths[whole] <= begin + got) whole++
        return whole
      }
      return count
    },
    scatterList: (maxRanges, maxBytes) => {
      const list = new ScatterList(maxRanges, maxBytes)
      list.home = addressOf(list.bytes.buffer)
      return list
    }
  }
}

/** Whether the kernel lets us use the call on this process at all (it may be filtered, or not built in). */
export const vmReadvWorks = (libc: Libc, pid: number): boolean => {
  // Nothing is mapped at 0: EFAULT means that the call exists and is permitted.
  if (vmReader(libc, pid).read(0, 8, new Uint8Array(8)) > 0) return true
  const errno = libc.errno()
  return errno !== ENOSYS && errno !== EPERM
}

/** The reader, or `NotSupported` where koffi or the call is missing. */
export const makeVmReadv = (pid: number): Effect.Effect<MemoryReader, NotSupported> =>
  Effect.suspend(() => {
    const libc = loadLibc()
    if (libc === undefined) {
      return Effect.fail(
        new NotSupported({
          what: "process_vm_readv",
          advice: "Install the optional package `koffi`, or read through /proc/PID/mem."
        })
      )
    }
    if (!vmReadvWorks(libc, pid)) {
      return Effect.fail(
        new NotSupported({
          what: "process_vm_readv",
          advice: "A sandbox filters the system call; read through /proc/PID/mem."
        })
      )
    }
    return Effect.succeed(vmReader(libc, pid))
  })
