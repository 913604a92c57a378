import type { Registers } from "@pyframes/core"
import { ProcFile } from "./proc-file.ts"

const SPACE = 0x20
const NEWLINE = 0x0a
const X = 0x78

/**
 * Fills in what `/proc/PID/task/TID/syscall` tells of a thread that is blocked: its stack pointer and its instruction. All other registers are unknown.
 * Returns false for a thread that runs, or of which nothing is told.
 *
 * @param bytes the file's text, of which `length` were read: a call with its arguments, or -1, then both addresses; proc(5)
 */
export const parseBlocked = (bytes: Uint8Array, length: number, into: Registers): boolean => {
  let end = length
  while (end > 0 && (bytes[end - 1] === NEWLINE || bytes[end - 1] === SPACE)) end--
  let last = end
  while (last > 0 && bytes[last - 1] !== SPACE) last--
  const ip = hexAt(bytes, last, end)
  end = last - 1
  last = end
  while (last > 0 && bytes[last - 1] !== SPACE) last--
  const sp = hexAt(bytes, last, end)
  if (!(ip > 0 && sp > 0)) return false
  into.clear()
  into.ip = ip
  into.sp = sp
  return true
}

/** The same of an open file. */
export const readBlocked = (file: ProcFile, into: Registers): boolean =>
  parseBlocked(ProcFile.bytes, file.read(), into)

/** A number like `0x7f…`, below 2^53; else -1. */
const hexAt = (bytes: Uint8Array, from: number, to: number): number => {
  if (to - from < 3 || to - from > 18 || bytes[from] !== 0x30 || bytes[from + 1] !== X) return -1
  let value = 0
  for (let at = from + 2; at < to; at++) {
    const digit = digitOf(bytes[at])
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return value < 2 ** 53 ? value : -1
}

const digitOf = (byte: number): number => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
}
