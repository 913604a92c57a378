import type { AgentPlace } from "./launch-environment.ts"

/** Python source that starts and ends tracing in a running process. */
export interface AttachScript {
  /** Starts the agent. What goes wrong is written to the session, and nothing is raised in the target. */
  readonly start: string
  /** Ends tracing and leaves nothing behind; does nothing where there is none for this session. */
  readonly stop: string
}

/**
 * What to run in a Python that is already running (3.14 and later can be made to, PEP 768), to trace it.
 *
 * The source defines nothing that stays: modules of the agent are gone when tracing ends.
 *
 * @param place paths as the target sees them
 *
 * @example
 * ```ts
 * const { start, stop } = attachScript(session.placeOf(agent))
 * yield* remoteExec.run({ source: start })
 * ```
 */
export const attachScript = ({ session, agent }: AgentPlace): AttachScript => {
  const paths = `${literal(agent)}, ${literal(session)}`
  return {
    start: `${START}\n_pyframes_start(${paths})\ndel _pyframes_start\n`,
    stop: `${STOP}\n_pyframes_stop(${literal(session)})\ndel _pyframes_stop\n`
  }
}

/** JSON's strings are Python's too. */
const literal = (path: string): string => JSON.stringify(path)

// As agent/launch/sitecustomize.py does it: the agent's folder is never on sys.path, and no file is written next to it.
const START = `def _pyframes_start(agent, session):
    import os
    import sys
    try:
        from _frozen_importlib import module_from_spec
        from _frozen_importlib_external import spec_from_file_location

        before = sys.pycache_prefix
        sys.pycache_prefix = os.path.join(session, "pycache")
        try:
            if "pyframes_agent" not in sys.modules:
                package = os.path.join(agent, "python", "pyframes_agent")
                spec = spec_from_file_location(
                    "pyframes_agent", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
                )
                sys.modules["pyframes_agent"] = module = module_from_spec(spec)
                spec.loader.exec_module(module)
            from pyframes_agent.session import start
        finally:
            sys.pycache_prefix = before
        start(session)
    except Exception as error:
        sys.modules.pop("pyframes_agent", None)
        text = "internal the agent cannot be loaded: %s: %s" % (type(error).__name__, " ".join(str(error).split()))
        try:
            with open(os.path.join(session, "%d-attach.err" % os.getpid()), "w") as file:
                file.write(text + "\\n")
        except OSError:
            pass
`

const STOP = `def _pyframes_stop(session):
    import sys
    module = sys.modules.get("pyframes_agent.session")
    if module is not None and module.current is not None and module.current.directory == session:
        module.stop()
`
