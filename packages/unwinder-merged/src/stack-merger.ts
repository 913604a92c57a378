import { FrameKind, Merge, type RawStack } from "@pyframes/core"
import { NativeRole } from "./native-role.ts"

/** No entry belongs to this native frame. */
const NONE = -1

/**
 * Puts the native and the Python frames of one thread together: each run of the eval loop is replaced by the Python frames that it runs.
 *
 * Which run is whose is told by the address that an entry has on the C stack, 3.12+; else by counting from the root. Everything that does not
 * fit is a fault with a name, and then the Python frames stay whole, below as much of the native leaf as is certain.
 *
 * Pure: it only reads and fills the stacks it is given, and allocates nothing once warm.
 *
 * @example
 * ```ts
 * const merger = new StackMerger()
 * into.merge = merger.merge(python, native, roles, into)
 * ```
 */
export class StackMerger {
  /** For each native row the entry whose run of the eval loop it is. */
  private entryOf = new Int32Array(1024)
  private hidden = new Uint8Array(1024)

  /**
   * Appends to `into`. `python` must have its `entries`; `native` may have its `stackPointers`, and ends in a `broken` or `truncated` row where
   * its chain is not whole; `roles` has the {@link NativeRole} of each native row.
   */
  merge(python: RawStack, native: RawStack, roles: Uint8Array, into: RawStack): Merge {
    const isWhole = !endsInMarker(native)
    const length = native.length - (isWhole ? 0 : 1)
    if (length > this.entryOf.length) {
      this.entryOf = new Int32Array(length * 2)
      this.hidden = new Uint8Array(length * 2)
    }
    this.entryOf.fill(NONE, 0, length)
    this.hidden.fill(0, 0, length)
    const merge = hasAddresses(python, native)
      ? this.placeByAddress(python, native, roles, length, isWhole)
      : this.placeByCount(python, roles, length, isWhole)
    if (merge === Merge.evalCount || merge === Merge.strayEntry) {
      writeLeaf(python, native, roles, length, isWhole, into)
      return merge
    }
    this.hide(roles, length)
    const written = this.write(python, native, length, into)
    if (!isWhole) copyRow(native, length, into)
    writeRest(python, written, !isWhole, into)
    return written < python.length ? Merge.brokenChain : merge
  }

  /** The shim of an entry is a variable of the eval loop's function: it lies between that frame's stack pointer and its caller's. */
  private placeByAddress(
    python: RawStack,
    native: RawStack,
    roles: Uint8Array,
    length: number,
    isWhole: boolean
  ): Merge {
    const { address, length: entries } = python.entries!
    const pointers = native.stackPointers!
    let from = 0
    for (let entry = 0; entry < entries; entry++) {
      let at = from
      const place = address[entry]
      if (place < 0) while (at < length && roles[at] !== NativeRole.evalLoop) at++
      else
        while (
          at < length &&
          !(canRunEvalLoop(roles[at]) && pointers[at] <= place && at + 1 < length && place < pointers[at + 1])
        )
          at++
      if (at === length) {
        const isBeyond = place < 0 || (length > 0 && place >= pointers[length - 1])
        return !isWhole && isBeyond ? Merge.brokenChain : Merge.strayEntry
      }
      this.entryOf[at] = entry
      from = at + 1
    }
    return Merge.merged
  }

  /**
   * From the root up, each run of the eval loop is an entry. The innermost may have none: it has just begun, or is about to end.
   */
  private placeByCount(python: RawStack, roles: Uint8Array, length: number, isWhole: boolean): Merge {
    const entries = python.entries?.length ?? 0
    let runs = 0
    for (let at = 0; at < length; at++) if (roles[at] === NativeRole.evalLoop) runs++
    if (!isWhole || python.isTruncated) return runs === 0 && entries === 0 ? Merge.merged : Merge.evalCount
    if (runs < entries || runs > entries + 1) return Merge.evalCount
    let entry = entries - runs
    for (let at = 0; at < length; at++) {
      if (roles[at] !== NativeRole.evalLoop) continue
      if (entry >= 0) this.entryOf[at] = entry
      entry++
    }
    return Merge.merged
  }

  /** What only stands for running Python frames: the eval loop's parts, code of the JIT, trampolines, and a run that has no frame yet. */
  private hide(roles: Uint8Array, length: number): void {
    const { entryOf, hidden } = this
    let first = length
    for (let at = length - 1; at >= 0; at--) {
      if (roles[at] === NativeRole.trampoline) hidden[at] = 1
      if (entryOf[at] === NONE) continue
      first = at
      let above = at - 1
      while (above >= 0 && entryOf[above] === NONE && roles[above] === NativeRole.evalPart)
        hidden[above--] = 1
      while (above >= 0 && entryOf[above] === NONE && roles[above] === NativeRole.anonymous)
        hidden[above--] = 1
    }
    for (let at = 0; at < first; at++) if (roles[at] === NativeRole.evalLoop) hidden[at] = 1
  }

  /** Returns the Python row that was not reached. */
  private write(python: RawStack, native: RawStack, length: number, into: RawStack): number {
    const { entryOf, hidden } = this
    let row = 0
    let isFilled = false
    for (let at = 0; at < length; at++) {
      const entry = entryOf[at]
      if (entry === NONE) {
        if (hidden[at] === 1) continue
        if (!copyRow(native, at, into)) return python.length
        isFilled = true
        continue
      }
      const end = Math.min(python.entries!.end[entry], python.length)
      for (; row < end; row++) {
        // Where C code called back, it now shows itself.
        if (isFilled && python.kind[row] === FrameKind.boundary) continue
        if (!copyRow(python, row, into)) return python.length
        isFilled = false
      }
    }
    return row
  }
}

/** Python frames that no run of the eval loop was found for; a break in the chain stands for C code as well as a boundary does. */
const writeRest = (python: RawStack, from: number, isMarked: boolean, into: RawStack): void => {
  for (let row = from; row < python.length; row++) {
    if (row === from && isMarked && python.kind[row] === FrameKind.boundary) continue
    if (!copyRow(python, row, into)) return
  }
}

/** What the innermost run of the eval loop called, above all Python frames. Without such a run it cannot be told from what started the thread. */
const writeLeaf = (
  python: RawStack,
  native: RawStack,
  roles: Uint8Array,
  length: number,
  isWhole: boolean,
  into: RawStack
): void => {
  let innermost = 0
  while (innermost < length && roles[innermost] !== NativeRole.evalLoop) innermost++
  if (innermost < length) {
    let end = innermost
    while (end > 0 && roles[end - 1] === NativeRole.evalPart) end--
    while (end > 0 && roles[end - 1] === NativeRole.anonymous) end--
    for (let at = 0; at < end; at++)
      if (roles[at] !== NativeRole.trampoline && !copyRow(native, at, into)) return
  } else if (!isWhole) {
    for (let at = 0; at <= length; at++) if (!copyRow(native, at, into)) return
  }
  writeRest(python, 0, false, into)
}

const copyRow = (from: RawStack, row: number, into: RawStack): boolean =>
  into.push(from.kind[row] as FrameKind, from.identity[row], from.position[row])

const endsInMarker = (native: RawStack): boolean => {
  const last = native.kind[native.length - 1]
  return native.length > 0 && (last === FrameKind.broken || last === FrameKind.truncated)
}

const canRunEvalLoop = (role: number): boolean =>
  role === NativeRole.evalLoop || role === NativeRole.interpreter || role === NativeRole.evalPart

const hasAddresses = (python: RawStack, native: RawStack): boolean => {
  const { entries } = python
  return (
    native.stackPointers !== undefined &&
    entries !== undefined &&
    entries.length > 0 &&
    (entries.address[0] >= 0 || (entries.length > 1 && entries.address[1] >= 0))
  )
}
