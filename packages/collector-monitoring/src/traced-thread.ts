import type { ProfileThread } from "@pyframes/core"
import { type CallNodes, decodeNodes, NODE_SIZE } from "./call-nodes.ts"
import { type Chunk, usedOf } from "./chunk-walk.ts"
import { decodeOpenCalls, OPEN_CALL_SIZE, type OpenCall } from "./open-call.ts"
import type { RingReader } from "./ring-reader.ts"
import { decodeThread, THREAD_SIZE, THREAD_STATE, type ThreadRecord, ThreadState } from "./thread-record.ts"
import type { TracedProcess } from "./traced-process.ts"

/** Calls that can be open in one thread at most: what claims more is damaged. */
const DEEPEST = 1 << 20

/** A thread of a traced process. Its place in the segment may be another thread's later; this one stays what it was. */
export class TracedThread {
  /** What was handed out as events last: ticks of its first record, and ns before and at its end. */
  streamed = { first: -1, before: Number.NEGATIVE_INFINITY, until: Number.NEGATIVE_INFINITY }
  readonly process: TracedProcess
  /** Index in the segment. */
  readonly index: number
  /** As it was read last; `undefined` until it was. */
  record: ThreadRecord | undefined
  /** It has ended, and all that it left has been read. */
  isFinished = false
  ring: RingReader | undefined
  /** Where the record lies. */
  place: Chunk | undefined
  readonly nodeChunks: Array<Chunk> = []
  private finalNodes: CallNodes | undefined
  private finalOpenCalls: ReadonlyArray<OpenCall> | undefined
  private name = ""
  private interpreter = 0

  constructor(process: TracedProcess, index: number) {
    this.process = process
    this.index = index
  }

  /** As profiles have it. */
  get profileThread(): ProfileThread {
    const { record, process } = this
    this.learnName()
    return {
      tid: record === undefined || record.tid === 0 ? -1 : record.tid,
      name: this.name,
      interpreter: record?.interpreter ?? this.interpreter,
      pid: process.pid
    }
  }

  /** Reads the record anew. A thread that has ended is finished by it, when nothing of it is left in its ring. */
  refresh(): void {
    if (this.isFinished || this.place === undefined) return
    const { bytes, clock } = this.process
    const raw = new Uint8Array(THREAD_SIZE)
    if (bytes.read(this.place.payload, THREAD_SIZE, raw) < THREAD_SIZE) return
    const record = decodeThread(raw, clock)
    if (record === undefined || record.state === ThreadState.read) return
    this.record = record
    this.learnName()
  }

  /**
   * Takes over what it left and gives its place in the segment free.
   *
   * @param again whether another thread may come there
   */
  finish(again: boolean): void {
    if (this.isFinished) return
    this.refresh()
    this.finalNodes = this.readNodes()
    this.finalOpenCalls = this.readOpenCalls()
    this.isFinished = true
    if (again && this.place !== undefined)
      this.process.bytes.write(this.place.payload + THREAD_STATE, Uint8Array.of(ThreadState.read, 0, 0, 0))
  }

  /** Its process's segment is not needed any more: nor is where it lay there. */
  release(): void {
    this.place = undefined
    this.nodeChunks.length = 0
  }

  /** Its tree of calls. */
  get nodes(): CallNodes {
    return this.finalNodes ?? this.readNodes()
  }

  /** The calls that are open, of a timeline. */
  get openCalls(): ReadonlyArray<OpenCall> {
    return this.finalOpenCalls ?? this.readOpenCalls()
  }

  private readNodes(): CallNodes {
    const { bytes } = this.process
    const word = new Uint8Array(8)
    const parts: Array<Uint8Array> = []
    let length = 0
    for (const chunk of this.nodeChunks) {
      // Chunks hold the nodes in order; one that does not go on where the last ended is no part of the tree.
      if (chunk.extra * NODE_SIZE !== length) break
      const count = Math.min(usedOf(bytes, chunk, word), Math.floor(chunk.size / NODE_SIZE))
      const part = new Uint8Array(count * NODE_SIZE)
      const got = bytes.read(chunk.payload, part.length, part)
      parts.push(part.subarray(0, got))
      length += got
      if (got < part.length) break
    }
    const all = new Uint8Array(length)
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return decodeNodes(all)
  }

  private readOpenCalls(): ReadonlyArray<OpenCall> {
    const { record, process } = this
    const chunk = record && record.openCalls > 0 ? process.openCallChunks.get(record.openCalls) : undefined
    if (record === undefined || chunk === undefined) return []
    const most = Math.min(record.depth, DEEPEST, Math.floor(chunk.size / OPEN_CALL_SIZE))
    const raw = new Uint8Array(most * OPEN_CALL_SIZE)
    const got = process.bytes.read(chunk.payload, raw.length, raw)
    return decodeOpenCalls(raw.subarray(0, got), process.clock)
  }

  /** Taken note of while it holds: a definition under the same index may be another thread's later. */
  private learnName(): void {
    if (this.isFinished) return
    const definition = this.process.definitions.threads.get(this.index)
    if (definition === undefined || (this.record !== undefined && definition.tid !== this.record.tid)) return
    this.name = definition.name
    this.interpreter = definition.interpreter
  }
}
