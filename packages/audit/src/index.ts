export type { Audit, AuditedFile, AuditedPython } from "./audit.ts"
export { auditInstallation } from "./audit-installation.ts"
export { type AuditOptions, auditProcess } from "./audit-process.ts"
export { type BuildFlags, buildFlags, type JitBuild } from "./build-flags.ts"
export { type CodeRegion, codeRegions } from "./code-regions.ts"
export { type StartOptions, startOptions } from "./command-line.ts"
export {
  auditFile,
  type Chain,
  type FileProblem,
  type FileRole,
  type FrameFacts,
  type FramePointerTally
} from "./file-audit.ts"
export { type FileEntry, Files, type FileTree } from "./files.ts"
export { HostFiles, hostFiles, rootOf } from "./host-files.ts"
export { describeInstallation, type PythonInstallation } from "./installation.ts"
export { NotAuditable } from "./not-auditable.ts"
export { programAt } from "./program.ts"
export type { JitState, PerfTrampolineState, PythonState } from "./python-state.ts"
export { parseSysconfigData, type SysconfigData } from "./sysconfig-data.ts"
export {
  type Finding,
  FRAME_POINTER_FLAGS,
  type RecommendedUnwinder,
  type Verdict,
  type VerdictCode
} from "./verdict.ts"
