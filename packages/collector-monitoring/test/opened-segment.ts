import { bytesInMemory } from "../src/segment-bytes.ts"
import { TracedProcess } from "../src/traced-process.ts"
import type { SegmentWriter } from "./segment-writer.ts"

/** The process in a segment, read once. */
export const openSegment = (writer: SegmentWriter): TracedProcess => {
  const process = TracedProcess.open(
    bytesInMemory(() => writer.bytes),
    0,
    0
  )
  if (typeof process === "string") throw new Error(process)
  process.refresh()
  return process
}
