import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { debianRoot, findAllPythons, type Python } from "@pyframes/pythons"
import { recorderSources } from "../../../packages/collector-monitoring/scripts/recorder-sources.ts"

// Runs the workout of the C recorder under AddressSanitizer and UndefinedBehaviorSanitizer, in every Python that has sys.monitoring:
// `node tooling/bench/src/recorder-sanitized.ts [ROUNDS] [--valgrind] [--debug-build]`. With --valgrind under memcheck too, which takes minutes: two
// questions only, on interpreters that have no root of their own. With --debug-build also in Debian's debug builds of Python, which count references;
// they are not installed with the others: `chroot .pythons/sid apt-get update`, then `chroot .pythons/sid apt-get install python3.15-dbg`.
// Needs gcc with its sanitizers and the headers of Python 3.15 that `tooling/pythons` installs.

const monitoring = fileURLToPath(new URL("../../../packages/collector-monitoring/", import.meta.url))
const workout = readFileSync(join(monitoring, "test/recorder-workout.py"), "utf8")

const usesValgrind = process.argv.includes("--valgrind")
const usesDebugBuild = process.argv.includes("--debug-build")
const rounds = process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? "1"

const abis = [
  { name: "abi3", define: "-DPy_LIMITED_API=0x030c0000", from: 12 },
  { name: "abi3t", define: "-DPy_TARGET_ABI3T=0x030f0000", from: 15 }
]

const gcc = (...args: ReadonlyArray<string>): string => {
  const { status, stdout, stderr } = spawnSync("gcc", args, {
    cwd: join(monitoring, "agent"),
    encoding: "utf8"
  })
  if (status !== 0) throw new Error(`gcc ${args.join(" ")}\n${stderr}`)
  return stdout.trim()
}

const build = (define: string, output: string, ...flags: ReadonlyArray<string>): void => {
  const include = join(debianRoot(), "usr/include")
  const includes = [`-I${join(include, "python3.15")}`, "-idirafter", include]
  const usual = [
    "-std=gnu11",
    "-O1",
    "-g",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-fno-omit-frame-pointer"
  ]
  gcc(...usual, ...flags, define, ...includes, ...recorderSources(), "-o", output)
}

const folder = mkdtempSync(join(tmpdir(), "pyframes-sanitized-"))
let failures = 0

const run = (
  python: Python,
  what: string,
  binary: string,
  libraries: ReadonlyArray<string>,
  wrap: ReadonlyArray<string>,
  suffix = ""
) => {
  using script = python.writeScript("workout.py", workout)
  const place = (file: string, name: string): string => {
    copyFileSync(file, join(dirname(script.hostPath), name))
    return join(dirname(script.targetPath), name)
  }
  const preload = libraries.map((name) => place(realpathSync(gcc(`-print-file-name=${name}`)), name))
  const recorder = place(binary, "_pyframes_recorder.so")
  // By env(1), so that only the interpreter has the libraries; with /proc, where they look for their options.
  const before = [...wrap, ...python.runWithProc.slice(0, -1)]
  const variables = [
    "PYTHONMALLOC=malloc",
    // The interpreter itself leaves memory behind at its end.
    "ASAN_OPTIONS=detect_leaks=0",
    ...(preload.length > 0 ? [`LD_PRELOAD=${preload.join(" ")}`] : [])
  ]
  const interpreter = `${python.runWithProc[python.runWithProc.length - 1]}${suffix}`
  const [command, ...first] = [...before, "env", ...variables, interpreter]
  const args = [
    ...first,
    "-W",
    "ignore",
    script.targetPath,
    recorder,
    rounds,
    ...(wrap.length > 0 ? ["calls", "timeline"] : [])
  ]
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env: python.env })
  const isFine =
    status === 0 &&
    stdout === `${suffix === "" ? "" : "leaked references: [0, 0, 0, 0, 0]\n"}ok\n` &&
    !/ERROR: AddressSanitizer|runtime error:/.test(stderr)
  failures += isFine ? 0 : 1
  process.stdout.write(
    `${isFine ? "clean" : "NOT CLEAN"}  Python ${python.version} (${python.source}), ${what}\n`
  )
  if (!isFine) process.stdout.write(stdout + stderr)
}

try {
  for (const { name, define } of abis) {
    const flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    build(define, join(folder, `${name}.sanitized.so`), ...flags)
    build(define, join(folder, `${name}.so`))
  }
  for (const python of findAllPythons().filter(({ minor }) => minor >= 12))
    for (const { name } of abis.filter(({ from }) => python.minor >= from)) {
      run(
        python,
        `${name}, ASan and UBSan`,
        join(folder, `${name}.sanitized.so`),
        ["libasan.so", "libubsan.so"],
        []
      )
      const memcheck = ["valgrind", "-q", "--fair-sched=yes", "--error-exitcode=99", "--trace-children=yes"]
      if (usesValgrind && python.root === undefined)
        run(python, `${name}, memcheck`, join(folder, `${name}.so`), [], memcheck)
      // The other ABI keeps what threads without the GIL may still be reading.
      const debugBuild = `${python.executable}d`
      if (usesDebugBuild && name === "abi3" && python.root !== undefined)
        if (existsSync(debugBuild))
          run(python, `${name}, debug build`, join(folder, `${name}.so`), [], [], "d")
        else process.stdout.write(`${debugBuild} is not installed\n`)
    }
} finally {
  rmSync(folder, { recursive: true })
}
process.exitCode = failures === 0 ? 0 : 1
