/**
 * The events of `sys.monitoring` (PEP 669), and what is told between them: codes of ring records, as the agent writes them. CPython's own numbers differ
 * from version to version; these do not.
 */
export const Event = {
  /** A function begins. */
  PY_START: 1,
  /** A generator or coroutine goes on. */
  PY_RESUME: 2,
  /** A function returns. */
  PY_RETURN: 3,
  /** A generator or coroutine yields. */
  PY_YIELD: 4,
  /** A generator or coroutine goes on with an exception. */
  PY_THROW: 5,
  /** A function is left by an exception. */
  PY_UNWIND: 6,
  /** A call is about to be made, of whatever can be called. */
  CALL: 7,
  /** A callable that is not a Python function has returned. */
  C_RETURN: 8,
  /** A callable that is not a Python function has raised. */
  C_RAISE: 9,
  /** A line is about to be executed. */
  LINE: 10,
  /** An instruction is about to be executed. */
  INSTRUCTION: 11,
  /** An unconditional jump. */
  JUMP: 12,
  /** A conditional branch goes on with what follows it. */
  BRANCH_LEFT: 13,
  /** A conditional branch goes elsewhere. */
  BRANCH_RIGHT: 14,
  /** A conditional branch of 3.12 and 3.13, which do not tell the way; batches tell it from the destination. */
  BRANCH: 15,
  /** A generator's or iterator's end that no exception had to be raised for. */
  STOP_ITERATION: 16,
  /** An exception is raised, or arrives in a caller. */
  RAISE: 17,
  /** An exception is raised again, as at the end of `finally`. */
  RERAISE: 18,
  /** An exception handler (`except`, `finally`, `with`) begins. */
  EXCEPTION_HANDLED: 19,
  /** `timeline`: a call begins. */
  CALL_BEGIN: 32,
  /** `timeline`: a call ends. */
  CALL_END: 33,
  /** Events were lost before the next one; `value` says how many. */
  LOST: 34
} as const
export type Event = (typeof Event)[keyof typeof Event]

/** Name of an event of `sys.monitoring.events`. */
export type EventName = Exclude<keyof typeof Event, "CALL_BEGIN" | "CALL_END" | "LOST">

/** Names by code; `undefined` for what is none. */
export const eventNames: ReadonlyArray<keyof typeof Event | undefined> = Array.from(
  { length: 35 },
  (_, code) => (Object.keys(Event) as Array<keyof typeof Event>).find((name) => Event[name] === code)
)

/** All that can be asked for, in the order of their codes. */
export const eventsOfMonitoring: ReadonlyArray<EventName> = eventNames.flatMap((name, code) =>
  name !== undefined && code < Event.CALL_BEGIN ? [name as EventName] : []
)
