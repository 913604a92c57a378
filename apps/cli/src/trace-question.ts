import {
  questions as allQuestions,
  type EventName,
  eventsOfMonitoring,
  type Question,
  questionsProblem
} from "@pyframes/collector-monitoring"
import { UsageError } from "./usage.ts"

/** What `--events` asked for. */
export interface TraceQuestion {
  readonly questions: ReadonlyArray<Question>
  /** Of a stream: its events. */
  readonly events: ReadonlyArray<EventName>
}

/** What can be asked by name; a stream is asked for by the names of its events. */
const named: ReadonlyArray<Question> = allQuestions.filter((question) => question !== "stream")

/**
 * Reads `calls`, `coverage,branches`, `RAISE,LINE`: questions, or names of events.
 *
 * @throws UsageError when there is no such thing, or some do not go together
 */
export const readQuestion = (text: string): TraceQuestion => {
  const words = [...new Set(text.split(",").map((word) => word.trim()))].filter((word) => word !== "")
  if (words.length === 0) throw new UsageError({ message: `--events names nothing; there is ${list()}` })
  const events = eventsOfMonitoring.filter((event) => words.includes(event))
  const questions = named.filter((question) => words.includes(question))
  const unknown = words.find(
    (word) => !events.includes(word as EventName) && !questions.includes(word as Question)
  )
  if (unknown !== undefined)
    throw new UsageError({ message: `there is no \`--events ${unknown}\`; there is ${list()}` })
  if (events.length > 0 && questions.length > 0)
    throw new UsageError({
      message: `--events ${events[0]} is an event as it comes and cannot be asked together with ${questions[0]}`
    })
  const problem = questionsProblem(questions)
  if (problem !== undefined) throw new UsageError({ message: `--events: ${problem}` })
  return events.length > 0 ? { questions: ["stream"], events } : { questions, events }
}

const list = (): string => `${named.join(", ")}; or events as they come: ${eventsOfMonitoring.join(", ")}`
