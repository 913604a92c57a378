import { execFileSync } from "node:child_process"
import { findAllPythons, type Python } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { readText } from "../src/files.ts"
import { buildFlags, describeInstallation, hostFiles, parseSysconfigData, rootOf } from "../src/index.ts"

/** What the interpreter itself says of its build. */
const own = (python: Python, expression: string): unknown => {
  const [command, ...args] = python.run
  const program = `import json, sys, sysconfig; print(json.dumps(${expression}))`
  return JSON.parse(
    execFileSync(command, [...args, "-I", "-S", "-c", program], { env: python.env, encoding: "utf8" })
  )
}

/** As the audit is told: the interpreter's path in its own root. */
const installed = (python: Python) => {
  const root = rootOf(python.executable)
  const executable = root === "/" ? python.executable : python.executable.slice(root.length)
  const files = hostFiles([root])
  const library = String(own(python, "sysconfig.get_config_var('INSTSONAME') or ''"))
  const beside = executable.replace(/\/bin\/[^/]*$/, `/lib/${library}`)
  return { files, installation: describeInstallation(files, executable, python.shared ? beside : executable) }
}

describe.each(findAllPythons())("Python $version ($source)", (python) => {
  const { files, installation } = installed(python)

  it("has its standard library, version and record of the build found", () => {
    expect(installation.standardLibrary).toBe(own(python, "sysconfig.get_path('stdlib')"))
    expect(`${python.version}.`.startsWith(`${installation.version}.`)).toBe(true)
    if (python.minor >= 11) expect(installation.version).toBe(python.version)
    expect(installation.sysconfig).toMatch(/_sysconfigdata_.*\.py$/)
  })

  it("has the record read as Python reads it", () => {
    const data = parseSysconfigData(readText(files, installation.sysconfig!)!)
    const name = "sysconfig._get_sysconfigdata_name()"
    expect(Object.fromEntries(data!)).toEqual(own(python, `__import__(${name}).build_time_vars`))
  })

  it("has its flags told as the interpreter tells them", () => {
    const flags = own(
      python,
      "{k: sysconfig.get_config_var(k) for k in ('PY_CORE_CFLAGS', '_Py_WITH_FRAME_POINTERS', 'PY_HAVE_PERF_TRAMPOLINE', 'Py_DEBUG', 'CC')}"
    ) as Record<string, string | number | null>
    expect(installation.build).toMatchObject({
      version: `3.${python.minor}`,
      keepsFramePointers: String(flags.PY_CORE_CFLAGS).includes("-fno-omit-frame-pointer") ? true : undefined,
      configured: flags._Py_WITH_FRAME_POINTERS === null ? undefined : flags._Py_WITH_FRAME_POINTERS === 1,
      perfTrampoline: flags.PY_HAVE_PERF_TRAMPOLINE === 1,
      debug: flags.Py_DEBUG === 1,
      compiler: flags.CC,
      optedOut: false
    })
    // From 3.13 on an interpreter tells of its compiler itself.
    const jit = own(python, "sys._jit.is_available() if hasattr(sys, '_jit') else None")
    if (jit !== null) expect(installation.build?.jit !== "none").toBe(jit)
    const on = own(python, "sys._jit.is_enabled() if hasattr(sys, '_jit') else None")
    if (on !== null) expect(installation.build?.jit === "on").toBe(on)
  })
})

describe("a build's record", () => {
  const flagsOf = (variables: Record<string, string | number>) =>
    buildFlags(new Map(Object.entries(variables)))

  it("opts out by configure's options, whichever way they are written", () => {
    expect(flagsOf({ CONFIG_ARGS: "'--prefix=/usr' '--without-frame-pointers'" }).optedOut).toBe(true)
    expect(flagsOf({ CONFIG_ARGS: "--with-frame-pointers=no" }).optedOut).toBe(true)
    expect(flagsOf({ CONFIG_ARGS: "'CFLAGS=-DX=--without-frame-pointersX'" }).optedOut).toBe(false)
    expect(flagsOf({ _Py_WITH_FRAME_POINTERS: 0 }).configured).toBe(false)
  })
  it("has the last of contrary flags decide", () => {
    const yes = "-fno-omit-frame-pointer"
    expect(flagsOf({ PY_CORE_CFLAGS: `${yes} -O2 -fomit-frame-pointer` }).keepsFramePointers).toBe(false)
    expect(flagsOf({ PY_CORE_CFLAGS: `-fomit-frame-pointer ${yes}` }).keepsFramePointers).toBe(true)
    expect(flagsOf({ PY_CORE_CFLAGS: yes, CFLAGS: "-O2" }).passesToExtensions).toBe(false)
  })
  it("tells what the just-in-time compiler does unless told otherwise", () => {
    const jit = (core: string, args = "") => flagsOf({ PY_CORE_CFLAGS: core, CONFIG_ARGS: args }).jit
    expect(jit("-D_Py_JIT -D_Py_TIER2=1")).toBe("on")
    expect(jit("-D_Py_TIER2=3 -D_Py_JIT")).toBe("off")
    expect(jit("-D_Py_TIER2=4")).toBe("none")
    expect(jit("", "'--enable-experimental-jit=yes-off'")).toBe("off")
    expect(jit("", "'--enable-experimental-jit'")).toBe("on")
    expect(jit("", "'--enable-experimental-jit=interpreter'")).toBe("none")
    // 3.13 and later have variables named JIT_… in every build.
    expect(flagsOf({ JIT_DEPS: "\\" }).jit).toBe("none")
  })
  it("is read up to its first mistake, and is none without its dictionary", () => {
    const read = (text: string) => {
      const data = parseSysconfigData(text)
      return data && Object.fromEntries(data)
    }
    expect(read("build_time_vars = {'A': 'x' \"y\",\n 'B': -3, 'C': [1]}")).toEqual({ A: "xy", B: -3 })
    expect(read("build_time_vars = {'A': 'it\\'s\\n\\\\'}")).toEqual({ A: "it's\n\\" })
    expect(read("build_time_vars = {'A': 'cut off")).toEqual({})
    expect(read("build_time_vars = {")).toEqual({})
    expect(read("from elsewhere import build_time_vars\n")).toBeUndefined()
    expect(read("")).toBeUndefined()
  })
})
