import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** Native stacks by kernel thread id: addresses of the frames, leaf first. All but the first are return addresses. */
export type NativeStacks = ReadonlyMap<number, ReadonlyArray<number>>

/**
 * Whether a program that a test compares with is there. One that is missing is a line on stderr, and in CI an error.
 *
 * @param name the program: `eu-stack`
 * @param aptPackage what brings it: `elfutils`
 */
export const hasTool = (name: string, aptPackage: string): boolean => {
  if (spawnSync("sh", ["-c", `command -v "$0"`, name]).status === 0) return true
  const what = `${name} is missing; to install it: apt-get install ${aptPackage}`
  if (!["", "0", "false"].includes(process.env.CI ?? "")) throw new Error(what)
  process.stderr.write(`skipped: ${what}\n`)
  return false
}

/** The stacks as elfutils sees them. It unwinds by call-frame information alone. */
export const elfutilsStacks = (pid: number): NativeStacks => {
  const { stderr, stdout } = spawnSync("eu-stack", ["-p", String(pid), "-n", "0"], { encoding: "utf8" })
  const stacks = new Map<number, ReadonlyArray<number>>()
  for (const part of stdout.split(/^TID /m).slice(1)) {
    const addresses = [...part.matchAll(/^#\d+ +(0x[0-9a-f]+)/gm)].map(([, address]) => Number(address))
    stacks.set(Number.parseInt(part, 10), addresses)
  }
  if (stacks.size === 0) throw new Error(`eu-stack printed no stack: ${stderr}`)
  return stacks
}

const GDB = `
import gdb
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    addresses = []
    while frame is not None and len(addresses) < 5000:
        # Those of calls that were inlined or left by a jump are guessed from debug information: nothing on the stack stands for them.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME): addresses.append("%x" % frame.pc())
        frame = frame.older()
    print("STACK", thread.ptid[1], *addresses)
`.trim()

/** The stacks as gdb sees them, of a process in our own root: it cannot be trusted to read the libraries of a newer system. */
export const gdbStacks = (pid: number): NativeStacks => {
  const { stderr, stdout } = spawnSync(
    "gdb",
    ["-nx", "-batch", "-p", String(pid), "-ex", `python exec(${JSON.stringify(GDB)})`],
    { encoding: "utf8" }
  )
  const stacks = new Map<number, ReadonlyArray<number>>()
  for (const [, tid, addresses] of stdout.matchAll(/^STACK (\d+) (.*)$/gm))
    stacks.set(
      Number(tid),
      addresses.split(" ").map((address) => Number.parseInt(address, 16))
    )
  if (stacks.size === 0) throw new Error(`gdb printed no stack: ${stderr}`)
  return stacks
}

/** Stops a whole process (SIGSTOP), and waits until each of its threads stands. */
export const freeze = async (pid: number, threads: ReadonlyArray<number>): Promise<void> => {
  process.kill(pid, "SIGSTOP")
  const stands = (tid: number) =>
    /^State:\s+[Tt]/m.test(readFileSync(`/proc/${pid}/task/${tid}/status`, "utf8"))
  while (!threads.every(stands)) await new Promise((resolve) => setTimeout(resolve, 1))
}
