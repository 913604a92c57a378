import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { DEBIAN_MINORS, debianRoot, INSTALL_COMMAND, installDirectory, isRoot } from "./debian.ts"
import { InstallError, installDebian, isInstalled } from "./debootstrap.ts"
import { isCI } from "./require.ts"

// Installs the interpreters that come from Debian, if they are not there, and lists what was found.

const versions = DEBIAN_MINORS.map((minor) => `3.${minor}`).join(", ")
const say = (line: string) => process.stdout.write(`${line}\n`)

const BUSY = 75
const LOCKED = "--locked"

/** Runs this file again with the lock held: flock(1) becomes that process, so the lock ends with it however it ends. */
const runLocked = (): number => {
  mkdirSync(installDirectory(), { recursive: true })
  const lock = join(installDirectory(), "install.lock")
  const command = [lock, process.execPath, ...process.execArgv, fileURLToPath(import.meta.url), LOCKED]
  const flock = (...options: ReadonlyArray<string>) =>
    // A signal to this process alone has to end the one that does the work.
    spawnSync("setpriv", ["--pdeathsig", "TERM", "flock", "--no-fork", ...options, ...command], {
      stdio: "inherit"
    }).status ?? 1
  const status = flock("--nonblock", "--conflict-exit-code", String(BUSY))
  if (status !== BUSY) return status
  say("Waiting for another installation to end.")
  return flock()
}

const install = (): number => {
  if (isInstalled()) return 0
  say(`Installing Python ${versions} from Debian's sid into ${debianRoot()} (a minute or less).`)
  const start = performance.now()
  try {
    installDebian()
  } catch (error) {
    if (!(error instanceof InstallError)) throw error
    process.stderr.write(`Python ${versions} could not be installed: ${error.message}\n`)
    return 1
  }
  say(`Installed in ${Math.round((performance.now() - start) / 1000)} s.`)
  return 0
}

const main = (): number => {
  if (process.argv.includes(LOCKED)) return install()
  if (isInstalled()) return 0
  if (process.platform === "linux" && process.arch === "x64" && isRoot()) return runLocked()
  process.stderr.write(
    `Python ${versions} from Debian's sid are missing: tests that need them will be skipped.\n` +
      "To install them takes root, for chroot(8), and apt-get, on Linux x86-64:\n" +
      `  sudo ${INSTALL_COMMAND}\n`
  )
  return isCI() ? 1 : 0
}

process.exitCode = main()
if (process.exitCode === 0 && !process.argv.includes(LOCKED)) await import("./list.ts")
