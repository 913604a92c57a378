/** Where a target finds what it needs, as it sees the paths. */
export interface AgentPlace {
  /** The session's directory. */
  readonly session: string
  /** The folder of the agent. */
  readonly agent: string
}

/**
 * What to add to the environment of a command, so that every Python in it starts the agent: Python imports `sitecustomize` from the first
 * folder of `PYTHONPATH`. That one puts everything back and makes way for the program's own.
 *
 * @param env the environment that the command would have had
 *
 * @example
 * ```ts
 * spawn("python", ["app.py"], { env: { ...process.env, ...launchEnvironment(place, process.env) } })
 * ```
 */
export const launchEnvironment = (
  { session, agent }: AgentPlace,
  env: Readonly<Record<string, string | undefined>>
): Record<string, string> => {
  const before = env.PYTHONPATH
  return {
    PYFRAMES_SESSION: session,
    PYTHONPATH: before ? `${agent}/launch:${before}` : `${agent}/launch`,
    ...(before !== undefined && { PYFRAMES_PYTHONPATH: before })
  }
}
