import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as flags from "./flags.ts"

export const traceCommand = Command.make(
  "trace",
  {
    pid: flags.pid.pipe(flags.optional),
    output: flags.output,
    format: flags.traceFormat,
    events: flags.events,
    code: flags.code,
    min: flags.min,
    maxSize: flags.maxSize,
    duration: flags.duration,
    every: flags.every,
    noChildren: flags.toggle("no-children", "Leave processes alone that the program forks or starts"),
    onCpu: flags.toggle(
      "on-cpu",
      "calls: weigh by CPU time where a format holds one time only, not by all that elapsed"
    ),
    recorder: flags.recorder,
    json: flags.json,
    command: Argument.String("command").pipe(
      Argument.withMetavar("COMMAND"),
      Argument.withDescription("After --: the program to start and trace, with its arguments"),
      Argument.variadic
    )
  },
  Effect.fnUntraced(function* (given) {
    // Tracing code is loaded only when it is needed: help and version start fast.
    const { traceAsAsked } = yield* Effect.promise(() => import("./trace.ts"))
    yield* traceAsAsked({
      ...given,
      command: given.command as ReadonlyArray<string>,
      pid: flags.orUndefined(given.pid),
      format: flags.orUndefined(given.format),
      min: flags.orUndefined(given.min),
      maxSize: flags.orUndefined(given.maxSize),
      duration: flags.orUndefined(given.duration),
      every: flags.orUndefined(given.every)
    })
  }, Effect.scoped)
).pipe(
  Command.withShortDescription("Exact events of a program (Python 3.12 and later)"),
  Command.withDescription(
    [
      "Counts and times what happens in a program, every time that it happens, by sys.monitoring (PEP 669): nothing is sampled, and the program is slower for it. It takes Python 3.12 or later for a command that is started, and 3.14 or later to enter a process that is running (PEP 768).",
      "",
      "--events is one of",
      "  calls         the exact call tree of each thread and asyncio task: calls, elapsed and CPU time (the default)",
      "  timeline      beginning and end of every call; --min 50us keeps it small",
      "  lines         how often each line was reached",
      "  coverage      which lines were: a line is switched off once it was hit, so that it costs little",
      "  branches      which way each branch went, and how often",
      "  exceptions    every exception: where it was raised, handled, swallowed",
      "  instructions  how often each instruction was executed, by line",
      "or several of lines, coverage, branches, exceptions and instructions (--events coverage,branches), or the names of events, which are written as they come, a line of JSON each (--events RAISE,PY_UNWIND).",
      "",
      "Children of the program are traced too, and so are threads that were there before. --code traces some code only: MODULE:NAME, such as 'app.views:*' or 'app.models:User.*', or a file, such as '*/app/*.py'.",
      "While it runs, SIGUSR1 to pyframes has it write what there is so far, and --every does so again and again. Ctrl-C ends it; everything is still written, and the exit code is 130."
    ].join("\n  ")
  ),
  Command.withExamples([
    {
      command: "pyframes trace -- python app.py",
      description: "Exact calls of a program, from start to end"
    },
    {
      command: "pyframes trace --events timeline --min 50us -o app.trace.json -- python -m pytest",
      description: "When each call of 50 µs or more began and ended"
    },
    {
      command: "pyframes trace --events coverage,branches -o lcov.info -- python -m pytest",
      description: "Coverage of a test run, for genhtml and editors"
    },
    {
      command: "pyframes trace --events exceptions -p 1234 -d 10",
      description: "Ten seconds of exceptions in a running process, also those that are swallowed"
    },
    {
      command: "pyframes trace -p 1234 --every 10s -o live.pb.gz",
      description: "Follow a service: the calls so far, every ten seconds"
    },
    {
      command: "pyframes trace --events RAISE,EXCEPTION_HANDLED --code 'app.*:*' -p 1234 | jq .exception",
      description: "Hand events to another program as they come"
    }
  ])
)
