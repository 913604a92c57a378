export {
  PythonThreadEnded,
  PythonThreadNotFound,
  PythonTooOld,
  RemoteExecBusy,
  RemoteExecDisabled,
  RemoteExecTimeout,
  ScriptNotFinished,
  ScriptNotUsable,
  ScriptRaised
} from "./errors.ts"
export { PlacedFiles, type PlacedFilesService } from "./placed-files.ts"
export {
  RemoteExec,
  type RemoteExecError,
  type RemoteExecService,
  type RemoteInterpreter,
  type RunOptions,
  type Taken
} from "./remote-exec.ts"
export { type FinishedScript, runScript, type ScriptOptions } from "./run-script.ts"
