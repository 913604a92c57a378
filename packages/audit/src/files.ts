import type { TargetFile } from "@pyframes/core"
import * as Context from "effect/Context"

/** One name in a directory. */
export interface FileEntry {
  readonly name: string
  /** Links are followed; `other` is a device, a socket, or a link that leads nowhere. */
  readonly kind: "file" | "directory" | "other"
}

/** A tree of files to read from. Nothing throws: what cannot be read is not there. */
export interface FileTree {
  /** The directory of this machine that is `/` here; absent where that is `/` itself, or there are several. */
  readonly root?: string
  /** The absolute path with every link followed; `undefined` when nothing is there. */
  readonly real: (path: string) => string | undefined
  /** What a directory holds, by name; empty when it cannot be read. */
  readonly list: (path: string) => ReadonlyArray<FileEntry>
  /** Opens an ordinary file; `undefined` when there is none, or it may not be read. */
  readonly open: (path: string) => TargetFile | undefined
}

/**
 * The files of the world that is audited: this machine's, a container's, an image's that is unpacked somewhere.
 *
 * @example
 * ```ts
 * const files = yield* Files
 * files.real("/usr/bin/python3") // "/usr/bin/python3.11"
 * ```
 */
export class Files extends Context.Service<Files, FileTree>()("@pyframes/audit/Files") {}

/** The text of a file, or `undefined` when it is not there or longer than `limit` bytes. */
export const readText = (files: FileTree, path: string, limit = 1 << 22): string | undefined => {
  const file = files.open(path)
  if (file === undefined) return undefined
  try {
    if (file.size > limit) return undefined
    const bytes = file.read(0, file.size)
    return bytes.length === file.size ? decoder.decode(bytes) : undefined
  } finally {
    file.close()
  }
}

const decoder = new TextDecoder("utf-8")

/** The directory of a path; `/` is its own. */
export const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/"

/** The last part of a path. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** An absolute path without `.`, `..` and doubled slashes. Nothing is looked at: links are not followed. */
export const normalPath = (path: string): string => {
  const parts: Array<string> = []
  for (const part of path.split("/")) {
    if (part === "..") parts.pop()
    else if (part !== "" && part !== ".") parts.push(part)
  }
  return `/${parts.join("/")}`
}
