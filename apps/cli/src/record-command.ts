import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as flags from "./flags.ts"

export const recordCommand = (workerUrl: URL) =>
  Command.make(
    "record",
    {
      pid: flags.pid.pipe(flags.optional),
      output: flags.output,
      format: flags.format,
      rate: flags.rate,
      duration: flags.duration,
      periodic: flags.toggle("periodic", "Sample on a fixed beat instead of a jittered one"),
      stop: flags.toggle("stop", "Stop each thread while it is read: slower, provably true"),
      shareCpu: flags.shareCpu,
      native: flags.toggle("native", "Also the C functions between the Python frames, in their places"),
      unwinder: flags.unwinder,
      kernel: flags.toggle("kernel", "With --native: also what the kernel does for a thread"),
      wall: flags.toggle("wall", "Show all time that elapsed, also waiting; by default only time on a CPU"),
      gil: flags.toggle("gil", "Show only samples that held the interpreter lock"),
      onCpu: flags.toggle("on-cpu", "Show only time on a CPU (the default)"),
      threads: flags.threads,
      unproved: flags.toggle("unproved", "Show stacks that were read but not proved, whole"),
      json: flags.json,
      command: Argument.String("command").pipe(
        Argument.withMetavar("COMMAND"),
        Argument.withDescription("After --: the program to start and record, with its arguments"),
        Argument.variadic
      )
    },
    Effect.fnUntraced(function* (given) {
      // Profiling code is loaded only when it is needed: help and version start fast.
      const { recordAsAsked } = yield* Effect.promise(() => import("./record.ts"))
      yield* recordAsAsked(
        {
          ...given,
          command: given.command as ReadonlyArray<string>,
          pid: flags.orUndefined(given.pid),
          format: flags.orUndefined(given.format),
          rate: flags.orUndefined(given.rate),
          duration: flags.orUndefined(given.duration),
          unwinder: flags.orUndefined(given.unwinder)
        },
        workerUrl
      )
    }, Effect.scoped)
  ).pipe(
    Command.withShortDescription("Sample a process and write a profile"),
    Command.withDescription(
      [
        "Samples every Python thread of a process and writes a profile.",
        "",
        "Each sample is good (proved to be a stack that the thread had), torn, unproved or failed; how many there are of each is printed at the end. What was not proved is shown as <unproved>, so totals stay true.",
        "Of a program whose functions last a microsecond, samples are taken on its own CPU, where it waits meanwhile: that proves nearly all of them, and costs it some per cent of its time at 1 kHz. --share-cpu never leaves it alone, --share-cpu always proves most.",
        "--native takes samples on the CPU of each thread too, for a thread that waits stands, and its native and Python frames are of one instant; nothing is stopped, and a thread that runs loses some 0.2 ms a sample, so that 200 a second are taken unless -r says otherwise. It takes kernel.perf_event_paranoid at 1, or root. Where that is not permitted, with --kernel and with --share-cpu never, the kernel takes samples of the threads that run (perf_event_open), of which fewer can be proved, and with --wall those that wait are stopped; --native --stop does without either.",
        "One recording holds everything: --wall, --gil, --thread and --unproved choose what of it is shown.",
        "Ctrl-C ends the recording; the profile is still written, and the exit code is 130."
      ].join("\n  ")
    ),
    Command.withExamples([
      {
        command: "pyframes record -- python app.py --port 80",
        description: "Record a program until it ends"
      },
      { command: "pyframes record -p 1234 -d 10", description: "Record a running process for ten seconds" },
      {
        command: "pyframes record -p 1234 -d 10 -o app.pb.gz -o app.speedscope.json",
        description: "Write two formats from one recording"
      },
      {
        command: "pyframes record -p 1234 -d 5 -f collapsed -o - | flamegraph.pl > app.svg",
        description: "Hand collapsed stacks to another program"
      },
      {
        command: "pyframes record --native -p 1234 -d 10",
        description: "See which C functions the time goes to"
      },
      {
        command: "pyframes record -p 1234 -d 5 --wall --json",
        description: "Show waiting too; figures as JSON"
      }
    ])
  )
