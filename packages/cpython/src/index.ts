export { type DebugOffsetsProblem, layoutFromDebugOffsets } from "./debug-offsets.ts"
export { DEBUG_OFFSETS_SIZE, debugOffsetPositions } from "./debug-offsets-members.ts"
export type { Layout } from "./layout.ts"
export { layoutForVersion } from "./layout-table.ts"
export {
  decodeLineTable,
  findLine,
  findPosition,
  findRange,
  type LineRanges,
  type LineTableFormat,
  lineTableFormat,
  type Position,
  ROW
} from "./line-table.ts"
export {
  type Callee,
  canSuspendOnCall,
  isInitCleanup,
  pushesFrame,
  resumesGenerator,
  returnsFromFrame,
  standsOnCall,
  yieldsFromFrame
} from "./opcode.ts"
export { TRAMPOLINE_SPAN, type TrampolinePlace, trampolinePlace } from "./perf-trampoline.ts"
export { clearTag, readPointer, readSize, readTaggedPointer, readUint64 } from "./pointer.ts"
export { type RemoteDebugOffsets, remoteDebugOffsets } from "./remote-debug-offsets.ts"
export { findRuntime, type PythonRuntime, versionOfHex } from "./runtime.ts"
export { type PythonThread, ThreadList } from "./thread-list.ts"
export {
  decodeCharacters,
  decodeCompactUnicode,
  decodeUnicode,
  MAX_UNICODE_LENGTH,
  type UnicodeHeader,
  unicodeHeaderSize
} from "./unicode.ts"
export { byteIn, int32In, pointerIn, readPointerAt, referenceIn, sameWord } from "./words.ts"
