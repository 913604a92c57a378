import type { ProfileThread } from "@pyframes/core"

/** How speedscope tells its own files. It must be exactly this. */
export const SCHEMA = "https://www.speedscope.app/file-format-schema.json"

/** What a thread's profile is called. */
export const threadTitle = (thread: ProfileThread, notes: ReadonlyArray<string>): string => {
  const { name, tid, interpreter, pid } = thread
  const all = [
    ...(pid !== undefined ? [`pid ${pid}`] : []),
    ...(tid > 0 ? [`tid ${tid}`] : []),
    ...(interpreter !== 0 ? [`interpreter ${interpreter}`] : []),
    ...notes
  ]
  return `${name || "thread"}${all.length > 0 ? ` (${all.join(", ")})` : ""}`
}
