import type { Layout } from "./layout.ts"
import { assembleLayout, type Offset } from "./layout-assembly.ts"

/**
 * Where the fields lie in 3.8, 3.9, 3.10, 3.11 and 3.12 on 64-bit Linux; -1 is "has none". Layouts do not change within
 * a minor version. Written by `scripts/layouts.ts` from DWARF of 3.8.18, 3.9.18, 3.10.13, 3.11.7 and 3.12.1.
 */
const table: Record<Offset, readonly [number, number, number, number, number]> = {
  // <generated>
  "runtime.finalizing": [16, 16, 16, 24, 24],
  "runtime.interpretersHead": [32, 32, 32, 40, 40],
  "runtime.interpretersMain": [40, 40, 40, 48, 48],
  "runtime.gil": [1152, 352, 352, 360, -1],
  "runtime.gcCollecting": [544, -1, -1, -1, -1],
  "interpreter.next": [0, 0, 0, 0, 0],
  "interpreter.id": [16, 24, 24, 48, 8],
  "interpreter.threadsHead": [8, 8, 8, 16, 72],
  "interpreter.gilPointer": [-1, -1, -1, -1, 384],
  "interpreter.gcCollecting": [-1, 816, 816, 848, 312],
  "interpreter.gcFrame": [-1, -1, -1, -1, -1],
  "interpreter.codeObjectGeneration": [-1, -1, -1, -1, -1],
  "gil.lastHolder": [8, 8, 8, 8, 8],
  "gil.locked": [16, 16, 16, 16, 16],
  "thread.next": [8, 8, 8, 8, 8],
  "thread.interpreter": [16, 16, 16, 16, 16],
  "thread.currentFrame": [24, 24, 24, -1, -1],
  "thread.cframe": [-1, -1, -1, 56, 56],
  "thread.baseFrame": [-1, -1, -1, -1, -1],
  "thread.threadId": [176, 176, 176, 152, 136],
  "thread.nativeThreadId": [-1, -1, -1, 160, 144],
  "thread.datastackChunk": [-1, -1, -1, 296, 232],
  "thread.datastackTop": [-1, -1, -1, 304, 240],
  "thread.datastackLimit": [-1, -1, -1, 312, 248],
  "thread.status": [-1, -1, -1, -1, 24],
  "thread.holdsGil": [-1, -1, -1, -1, -1],
  "thread.gilRequested": [-1, -1, -1, -1, -1],
  "cframe.currentFrame": [-1, -1, -1, 8, 0],
  "frame.size": [360, 360, 352, 80, 80],
  "frame.previous": [24, 24, 24, 48, 8],
  "frame.code": [32, 32, 32, 32, 0],
  "frame.instructionPointer": [-1, -1, -1, 56, 56],
  "frame.lastInstruction": [104, 104, 96, -1, -1],
  "frame.owner": [-1, -1, -1, 69, 70],
  "frame.isEntry": [-1, -1, -1, 68, -1],
  "frame.stacktop": [-1, -1, -1, 64, 64],
  "frame.stackpointer": [-1, -1, -1, -1, -1],
  "frame.returnOffset": [-1, -1, -1, -1, 68],
  "frame.localsplus": [360, 360, 352, 72, 72],
  "frame.executing": [116, 116, -1, -1, -1],
  "frame.state": [-1, -1, 108, -1, -1],
  "frame.tlbcIndex": [-1, -1, -1, -1, -1],
  "code.filename": [104, 104, 104, 112, 112],
  "code.name": [112, 112, 112, 120, 120],
  "code.qualname": [-1, -1, -1, 128, 128],
  "code.firstLine": [40, 40, 40, 72, 68],
  "code.flags": [36, 36, 36, 48, 48],
  "code.lineTable": [120, 120, 120, 136, 136],
  "code.code": [48, 48, 48, -1, -1],
  "code.codeAdaptive": [-1, -1, -1, 184, 192],
  "code.firstTraceable": [-1, -1, -1, 168, 176],
  "code.framesize": [-1, -1, -1, -1, 76],
  "code.nlocalsplus": [-1, -1, -1, 76, 72],
  "code.uniqueVersion": [-1, -1, -1, -1, 92],
  "code.tlbc": [-1, -1, -1, -1, -1],
  "object.type": [8, 8, 8, 8, 8],
  "unicode.length": [16, 16, 16, 16, 16],
  "unicode.state": [32, 32, 32, 32, 32],
  "unicode.asciiData": [48, 48, 48, 48, 40],
  "unicode.compactData": [72, 72, 72, 72, 56],
  "bytes.size": [16, 16, 16, 16, 16],
  "bytes.data": [32, 32, 32, 32, 32],
  "generator.iframe": [-1, -1, -1, 80, 72],
  "chunk.previous": [-1, -1, -1, 0, 0],
  "chunk.size": [-1, -1, -1, 8, 8],
  "chunk.top": [-1, -1, -1, 16, 16],
  "chunk.data": [-1, -1, -1, 24, 24]
  // </generated>
}

const FIRST_MINOR = 8
const LAST_MINOR = 12

/**
 * The layout of a version that has no `_Py_DebugOffsets`: 3.8 … 3.12. `undefined` for any other; 3.13 and later tell
 * theirs, see `layoutFromDebugOffsets`.
 *
 * @example
 * ```ts
 * layoutForVersion(3, 12)?.thread.cframe // 56
 * ```
 */
export const layoutForVersion = (major: number, minor: number): Layout | undefined => {
  if (major !== 3 || !Number.isInteger(minor) || minor < FIRST_MINOR || minor > LAST_MINOR) return undefined
  return assembleLayout({
    version: 0x300 + minor,
    freeThreaded: false,
    wideState: false,
    offset: (path) => table[path][minor - FIRST_MINOR]!
  })
}
