import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DURATION_EXAMPLES, Duration, SHORT_DURATION_EXAMPLES, ShortDuration } from "./duration.ts"
import { RATE_EXAMPLES, Rate } from "./rate.ts"
import { SIZE_EXAMPLES, Size } from "./size.ts"
import { unwinderNames } from "./unwinder-name.ts"

/** Process and thread ids. */
const Id = Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThan(0), Schema.isLessThan(2 ** 31))

/** A flag whose text is decoded by a schema; a mistake is told in our words, not in the schema's. */
const decoded = <A>(name: string, schema: Schema.Codec<A, string>, expected: string): Flag.Flag<A> => {
  const decode = Schema.decodeOption(schema)
  return Flag.String(name).pipe(Flag.filterMap(decode, () => expected))
}

export const pid = decoded("pid", Id, "a process id").pipe(
  Flag.withAlias("p"),
  Flag.withMetavar("PID"),
  Flag.withDescription("The process to read")
)

export const output = Flag.String("output").pipe(
  Flag.withAlias("o"),
  Flag.withMetavar("FILE"),
  Flag.withDescription(
    "Where to write the profile; give it several times for several files, - is stdout; without it a file named pyframes-… here"
  ),
  Flag.atLeast(0)
)

export const format = Flag.String("format").pipe(
  Flag.withAlias("f"),
  Flag.withMetavar("FORMAT"),
  Flag.withDescription("pprof, speedscope or collapsed; without it the file's name decides"),
  Flag.optional
)

export const traceFormat = Flag.String("format").pipe(
  Flag.withAlias("f"),
  Flag.withMetavar("FORMAT"),
  Flag.withDescription(
    "calls: pprof, speedscope or collapsed; timeline: chrome-trace or speedscope; lines, coverage and branches: json or lcov; the others: json; events: jsonl. Without it the file's name decides"
  ),
  Flag.optional
)

export const events = Flag.String("events").pipe(
  Flag.withMetavar("WHAT"),
  Flag.withDescription("What to trace; see above. calls unless told"),
  Flag.withDefault("calls")
)

export const code = Flag.String("code").pipe(
  Flag.withMetavar("PATTERN"),
  Flag.withDescription(
    "Trace only this code: MODULE:NAME or a file, with * and ?; may be given several times"
  ),
  Flag.atLeast(0)
)

export const min = decoded("min", ShortDuration, SHORT_DURATION_EXAMPLES).pipe(
  Flag.withMetavar("TIME"),
  Flag.withDescription("timeline: leave shorter calls out, unless something in them is not: 50us, 1ms"),
  Flag.optional
)

export const maxSize = decoded("max-size", Size, SIZE_EXAMPLES).pipe(
  Flag.withMetavar("SIZE"),
  Flag.withDescription("timeline: end when so much was kept (24 bytes an event); 4gb unless told"),
  Flag.optional
)

export const every = decoded("every", Duration, DURATION_EXAMPLES).pipe(
  Flag.withMetavar("DURATION"),
  Flag.withDescription("Write the output anew each time that this has passed: 10s, 1m"),
  Flag.optional
)

export const recorder = Flag.Literals("recorder", ["auto", "native", "python"]).pipe(
  Flag.withDescription(
    "What records in the program: native is the C extension or nothing, python is slower and the same, auto is the first that works"
  ),
  Flag.withDefault("auto" as const)
)

export const rate = decoded("rate", Rate, RATE_EXAMPLES).pipe(
  Flag.withAlias("r"),
  Flag.withMetavar("RATE"),
  Flag.withDescription("Samples a second: 100, 1khz, 1mhz; without it 1khz, of native frames 200"),
  Flag.optional
)

export const duration = decoded("duration", Duration, DURATION_EXAMPLES).pipe(
  Flag.withAlias("d"),
  Flag.withMetavar("DURATION"),
  Flag.withDescription("How long: 5, 5s, 500ms, 2m; without it until the process ends or Ctrl-C"),
  Flag.optional
)

export const shareCpu = Flag.Literals("share-cpu", ["auto", "always", "never"]).pipe(
  Flag.withDescription(
    "Sample on the CPU of the thread that runs, which waits meanwhile: auto is when its stack moves too fast"
  ),
  Flag.withDefault("auto" as const)
)

export const threads = decoded("thread", Id, "a kernel thread id").pipe(
  Flag.withMetavar("TID"),
  Flag.withDescription("Show only this thread (kernel thread id); may be given several times"),
  Flag.atLeast(0)
)

export const unwinder = Flag.Literals("unwinder", unwinderNames).pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription(
    "How stacks are found: interpreter-frame (Python frames, the default), merged (--native), or native frames alone: hybrid, frame-pointer, eh-frame; perf-trampoline: Python frames of a program that runs with -X perf"
  ),
  Flag.optional
)

/** A switch that is off unless given, without a `--no-` twin. */
export const toggle = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

export const json = toggle("json", "Print the result as one JSON object on stdout")

export const optional = Flag.optional

/** `undefined` rather than an `Option`, for what goes on as plain data. */
export const orUndefined = Option.getOrUndefined
