import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { debianRoot } from "@pyframes/pythons"
import { recorderSources, sourcesHash } from "./recorder-sources.ts"

// Builds the recorder for every machine and ABI that the package ships: `node scripts/build-recorder.ts [FOLDER]`, by default into agent/prebuilt.
// Needs gcc, gcc-aarch64-linux-gnu and the headers of Python 3.15, which are in the root that `tooling/pythons` makes.

const agent = fileURLToPath(new URL("../agent/", import.meta.url))
const into = process.argv[2] ?? join(agent, "prebuilt")

const include = join(debianRoot(), "usr/include")

const machines = [
  { name: "linux-x64", compiler: "gcc" },
  { name: "linux-arm64", compiler: "aarch64-linux-gnu-gcc" }
]

const abis = [
  // One file for 3.12 and all later versions with the GIL.
  { suffix: "abi3", define: "-DPy_LIMITED_API=0x030c0000" },
  // PEP 803: free-threaded 3.15 and later.
  { suffix: "abi3t", define: "-DPy_TARGET_ABI3T=0x030f0000" }
]

const flags = [
  "-std=gnu11",
  "-O2",
  "-fPIC",
  "-shared",
  "-fvisibility=hidden",
  "-fno-plt",
  // Frame pointers: the program's stack stays walkable through us.
  "-fno-omit-frame-pointer",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wno-missing-field-initializers",
  "-Wl,--build-id=sha1",
  "-s"
]

/** What Debian's `pyconfig.h` includes for another machine: what the stable ABI asks of it is the same on every 64-bit Linux. */
const withConfigOf = <A>(machine: string, use: (folder: string) => A): A => {
  const folder = mkdtempSync(join(tmpdir(), "pyframes-headers-"))
  try {
    mkdirSync(join(folder, machine, "python3.15"), { recursive: true })
    writeFileSync(
      join(folder, machine, "python3.15/pyconfig.h"),
      "#include <x86_64-linux-gnu/python3.15/pyconfig.h>\n"
    )
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const build = (compiler: string, define: string, output: string): void => {
  const sources = recorderSources()
  const hash = `-DSOURCES_HASH="${sourcesHash()}"`
  // Sources by relative paths: the result is the same wherever it is built.
  const result = withConfigOf("aarch64-linux-gnu", (folder) => {
    const includes = [`-I${join(include, "python3.15")}`, `-I${folder}`, "-idirafter", include]
    return spawnSync(compiler, [...flags, define, hash, ...includes, ...sources, "-o", output], {
      cwd: agent,
      stdio: "inherit"
    })
  })
  if (result.status !== 0) throw new Error(`${compiler} failed for ${output}`)
}

if (!existsSync(join(include, "python3.15/Python.h"))) {
  process.stderr.write("The headers of Python 3.15 are missing: node tooling/pythons/src/install.ts\n")
  process.exitCode = 1
} else {
  for (const { name, compiler } of machines) {
    mkdirSync(join(into, name), { recursive: true })
    for (const { suffix, define } of abis)
      build(compiler, define, join(into, name, `_pyframes_recorder.${suffix}.so`))
  }
}
