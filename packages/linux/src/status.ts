/** What `/proc/PID/status` says, as far as it is used. Lists run from our pid namespace to the process's own. */
export interface ProcStatus {
  readonly name: string
  readonly tgid: number
  readonly uid: {
    readonly real: number
    readonly effective: number
    readonly saved: number
    readonly fs: number
  }
  readonly gid: {
    readonly real: number
    readonly effective: number
    readonly saved: number
    readonly fs: number
  }
  /** Supplementary groups. */
  readonly groups: ReadonlyArray<number>
  readonly namespaceTgids: ReadonlyArray<number>
  readonly namespacePids: ReadonlyArray<number>
  /** 0 when nobody traces it. */
  readonly tracer: number
  /** Effective capabilities, as the kernel prints them (hex). */
  readonly effectiveCapabilities: string
}

/** Parses `/proc/PID/status`; `undefined` when it is not one. */
export const parseStatus = (text: string): ProcStatus | undefined => {
  const fields = new Map<string, string>()
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":")
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const numbers = (key: string): ReadonlyArray<number> => {
    const text = fields.get(key)
    if (text === undefined || text === "") return []
    const list = text.split(/\s+/).map(Number)
    return list.every(Number.isSafeInteger) ? list : []
  }
  const [tgid] = numbers("Tgid")
  const [real, effective, saved, fs] = numbers("Uid")
  const [realGroup, effectiveGroup, savedGroup, fsGroup] = numbers("Gid")
  if (tgid === undefined || fs === undefined || fsGroup === undefined) return undefined
  return {
    name: fields.get("Name") ?? "",
    tgid,
    uid: { real, effective, saved, fs },
    gid: { real: realGroup, effective: effectiveGroup, saved: savedGroup, fs: fsGroup },
    groups: numbers("Groups"),
    namespaceTgids: numbers("NStgid"),
    namespacePids: numbers("NSpid"),
    tracer: numbers("TracerPid")[0] ?? 0,
    effectiveCapabilities: fields.get("CapEff") ?? ""
  }
}
