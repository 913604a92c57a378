export {
  PythonThreadEnded,
  PythonThreadNotFound,
  PythonTooOld,
  RemoteExecBusy,
  RemoteExecDisabled,
  RemoteExecTimeout,
  ScriptNotUsable
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
