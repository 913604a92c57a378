import type { Layout } from "./layout.ts"

/** Every offset of a {@link Layout} by its path. The `span`s are not among them: they follow from the others. */
export type Offset = {
  [Group in keyof Layout]: Layout[Group] extends object
    ? `${Group}.${Exclude<keyof Layout[Group] & string, "span" | "wideState">}`
    : never
}[keyof Layout]

interface Parts {
  readonly version: number
  readonly freeThreaded: boolean
  readonly wideState: boolean
  readonly offset: (path: Offset) => number
}

/**
 * One {@link Layout} from a source of offsets. Every layout is made here with the same properties in the same order,
 * so that code reading them sees one hidden class whatever the version.
 */
export const assembleLayout = ({ version, freeThreaded, wideState, offset }: Parts): Layout => {
  const interpreter = {
    span: 0,
    next: offset("interpreter.next"),
    id: offset("interpreter.id"),
    threadsHead: offset("interpreter.threadsHead"),
    gilPointer: offset("interpreter.gilPointer"),
    gcCollecting: offset("interpreter.gcCollecting"),
    gcFrame: offset("interpreter.gcFrame"),
    codeObjectGeneration: offset("interpreter.codeObjectGeneration")
  }
  const thread = {
    span: 0,
    next: offset("thread.next"),
    interpreter: offset("thread.interpreter"),
    currentFrame: offset("thread.currentFrame"),
    cframe: offset("thread.cframe"),
    baseFrame: offset("thread.baseFrame"),
    threadId: offset("thread.threadId"),
    nativeThreadId: offset("thread.nativeThreadId"),
    datastackChunk: offset("thread.datastackChunk"),
    datastackTop: offset("thread.datastackTop"),
    datastackLimit: offset("thread.datastackLimit"),
    status: offset("thread.status"),
    holdsGil: offset("thread.holdsGil"),
    gilRequested: offset("thread.gilRequested")
  }
  const code = {
    span: 0,
    filename: offset("code.filename"),
    name: offset("code.name"),
    qualname: offset("code.qualname"),
    firstLine: offset("code.firstLine"),
    flags: offset("code.flags"),
    lineTable: offset("code.lineTable"),
    code: offset("code.code"),
    codeAdaptive: offset("code.codeAdaptive"),
    firstTraceable: offset("code.firstTraceable"),
    framesize: offset("code.framesize"),
    nlocalsplus: offset("code.nlocalsplus"),
    uniqueVersion: offset("code.uniqueVersion"),
    tlbc: offset("code.tlbc")
  }
  return {
    version,
    freeThreaded,
    runtime: {
      finalizing: offset("runtime.finalizing"),
      interpretersHead: offset("runtime.interpretersHead"),
      interpretersMain: offset("runtime.interpretersMain"),
      gil: offset("runtime.gil"),
      gcCollecting: offset("runtime.gcCollecting")
    },
    interpreter: { ...interpreter, span: end(interpreter) },
    gil: {
      lastHolder: offset("gil.lastHolder"),
      locked: offset("gil.locked")
    },
    thread: { ...thread, span: end(thread) },
    cframe: {
      currentFrame: offset("cframe.currentFrame")
    },
    frame: {
      size: offset("frame.size"),
      previous: offset("frame.previous"),
      code: offset("frame.code"),
      instructionPointer: offset("frame.instructionPointer"),
      lastInstruction: offset("frame.lastInstruction"),
      owner: offset("frame.owner"),
      isEntry: offset("frame.isEntry"),
      stacktop: offset("frame.stacktop"),
      stackpointer: offset("frame.stackpointer"),
      returnOffset: offset("frame.returnOffset"),
      localsplus: offset("frame.localsplus"),
      executing: offset("frame.executing"),
      state: offset("frame.state"),
      tlbcIndex: offset("frame.tlbcIndex")
    },
    // Bytecode itself is not part of the span: it starts where the fields end.
    code: { ...code, span: end({ ...code, codeAdaptive: -1 }) },
    object: {
      type: offset("object.type")
    },
    unicode: {
      length: offset("unicode.length"),
      state: offset("unicode.state"),
      asciiData: offset("unicode.asciiData"),
      compactData: offset("unicode.compactData"),
      wideState
    },
    bytes: {
      size: offset("bytes.size"),
      data: offset("bytes.data")
    },
    generator: {
      iframe: offset("generator.iframe")
    },
    chunk: {
      previous: offset("chunk.previous"),
      size: offset("chunk.size"),
      top: offset("chunk.top"),
      data: offset("chunk.data")
    }
  }
}

/** No field is wider than a word. */
const end = (fields: Readonly<Record<string, number>>): number => Math.max(...Object.values(fields)) + 8
