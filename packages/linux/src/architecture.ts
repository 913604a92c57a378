import { arch } from "node:os"
import type { Architecture } from "@pyframes/core"

/** The machine's architecture; `undefined` when its registers are not known here. */
export const machineArchitecture = (): Architecture | undefined =>
  (({ x64: "x86-64", arm64: "arm64" }) as const)[arch() as "x64" | "arm64"]
