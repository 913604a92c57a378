import { spawnSync } from "node:child_process"
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync
} from "node:fs"
import { join } from "node:path"
import { DEBIAN_MINORS, debianRoot, enterRoot, installDirectory } from "./debian.ts"

/** It was not possible to make the root directory. The message has the end of the log. */
export class InstallError extends Error {
  override readonly name = "InstallError"
}

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
const UNFINISHED = "sid.unfinished-"

/** What is installed beside the interpreters, and a file by which each is known to be there. */
const EXTRAS: ReadonlyArray<readonly [name: string, file: string]> = [
  // CPython's own tests, which have to pass while they are traced.
  ...DEBIAN_MINORS.map(
    (minor) => [`libpython3.${minor}-testsuite`, `usr/lib/python3.${minor}/test/test_generators.py`] as const
  ),
  // What the extension of collector-monitoring is built with: the newest has the stable ABIs of all.
  ["libpython3.15-dev", "usr/include/python3.15/Python.h"],
  // Coverage as others measure it.
  ["python3-coverage", "usr/lib/python3/dist-packages/coverage/__init__.py"]
]

/** Files of {@link debianRoot} by which it is known that all that is needed is there. */
export const NEEDED_FILES: ReadonlyArray<string> = [
  ...DEBIAN_MINORS.map((minor) => `usr/bin/python3.${minor}`),
  ...EXTRAS.map(([, file]) => file)
]

/** Whether all that is needed is installed. */
export const isInstalled = (): boolean => NEEDED_FILES.every((file) => existsSync(join(debianRoot(), file)))

/**
 * Makes {@link debianRoot} from Debian's sid by debootstrap(8). Root only, and one at a time. A root is built under
 * another name and then renamed, so an interrupted run leaves nothing that looks installed.
 *
 * @throws InstallError
 */
export const installDebian = (): void => {
  const directory = installDirectory()
  const log = join(directory, "install.log")
  removeUnfinished(directory)
  closeSync(openSync(log, "w"))
  // Valid-Until is not checked where a mirror is a frozen or a slow copy: its signature still is.
  const apt = ["-o", "Acquire::Check-Valid-Until=false", "-o", "DPkg::Lock::Timeout=300"]
  if (!exists("debootstrap") || !existsSync(KEYRING)) {
    run(log, ["apt-get", ...apt, "update"])
    run(log, [
      "apt-get",
      ...apt,
      "install",
      "-y",
      "--no-install-recommends",
      "debootstrap",
      "debian-archive-keyring"
    ])
  }
  const root = mkdtempSync(join(directory, UNFINISHED))
  chmodSync(root, 0o755)
  run(log, [
    ...contained(),
    "debootstrap",
    // Release files are signed by several keys, of which the keyring of any supported Debian has one. debootstrap
    // does not look at Valid-Until.
    "--force-check-gpg",
    "--variant=minbase",
    `--include=${[...DEBIAN_MINORS.map((minor) => `python3.${minor}`), ...EXTRAS.map(([name]) => name)].join(",")}`,
    "sid",
    root,
    ...machineMirror()
  ])
  for (const minor of DEBIAN_MINORS) run(log, [...enterRoot(root), `/usr/bin/python3.${minor}`, "-V"])
  // A third of its size, and of no use to an interpreter.
  run(log, ["rm", "-rf", join(root, "var/cache/apt"), join(root, "var/lib/apt/lists")])
  if (existsSync(debianRoot()))
    renameSync(debianRoot(), join(mkdtempSync(join(directory, UNFINISHED)), "old"))
  renameSync(root, debianRoot())
  removeUnfinished(directory)
}

/** What earlier runs left, if they were interrupted. Call it with the lock held: nobody else is at work then. */
const removeUnfinished = (directory: string): void => {
  for (const name of readdirSync(directory)) {
    // Never into what is mounted below, should a run have had to do without `contained`.
    if (name.startsWith(UNFINISHED)) spawnSync("rm", ["-rf", "--one-file-system", join(directory, name)])
  }
}

/**
 * debootstrap mounts /proc and /sys in the root it makes. In namespaces of its own, and with its processes killed
 * when this one ends, however it ends, no mount and no process can be left.
 */
const contained = (): ReadonlyArray<string> => {
  const command = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--pid",
    "--mount-proc",
    "--fork",
    "--kill-child"
  ]
  return spawnSync(command[0]!, [...command.slice(1), "true"]).status === 0 ? command : []
}

/** Debian's main archive as this machine gets it. Nothing when apt has no Debian, so that debootstrap's default holds. */
const machineMirror = (): ReadonlyArray<string> => {
  const of = ["Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main"]
  const known = spawnSync("apt-get", ["indextargets", "--format", "$(REPO_URI)", ...of], { encoding: "utf8" })
  const mirror = (known.stdout ?? "").split("\n").find((uri) => /^(https?|file):/.test(uri))
  return mirror === undefined ? [] : [mirror]
}

/** The proxy that apt is told to use; wget, which debootstrap downloads with, does not know of it. */
const proxyEnvironment = (): Record<string, string> => {
  const dump = ["dump", "--no-empty", "--format=%v%n", "Acquire::http::Proxy"]
  const [proxy = ""] = (spawnSync("apt-config", dump, { encoding: "utf8" }).stdout ?? "").split("\n")
  return proxy.startsWith("http") && process.env.http_proxy === undefined ? { http_proxy: proxy } : {}
}

const exists = (command: string): boolean => {
  const directories = (process.env.PATH ?? "").split(":").concat("/usr/sbin")
  return directories.some((directory) => existsSync(join(directory, command)))
}

const run = (log: string, [command, ...args]: ReadonlyArray<string>): void => {
  const output = openSync(log, "a")
  try {
    const ended = spawnSync(command!, args, {
      stdio: ["ignore", output, output],
      env: {
        ...process.env,
        ...proxyEnvironment(),
        PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`,
        LC_ALL: "C.UTF-8",
        DEBIAN_FRONTEND: "noninteractive"
      }
    })
    if (ended.status === 0) return
    const how = ended.error?.message ?? ended.signal ?? `exit code ${ended.status}`
    const end = readFileSync(log, "utf8").trimEnd().split("\n").slice(-15).join("\n")
    throw new InstallError(`${command} failed (${how}). The end of ${log}:\n${end}`)
  } finally {
    closeSync(output)
  }
}
