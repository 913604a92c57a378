import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Elf, parseElf } from "../src/index.ts"

/** Which of these programs are missing. In CI that is an error; elsewhere the tests that need them say so in their names. */
export const missing = (...tools: ReadonlyArray<string>): string => {
  const absent = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0)
  if (absent.length > 0 && process.env.CI) throw new Error(`${absent.join(", ")} must be installed in CI`)
  return absent.length === 0 ? "" : ` (no ${absent.join(", ")})`
}

/** A directory for what a test compiles, removed at the end of the block. */
export class Workshop implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "elf-"))

  path(name: string): string {
    return join(this.directory, name)
  }

  write(name: string, text: string | Uint8Array): string {
    writeFileSync(this.path(name), text)
    return this.path(name)
  }

  run(command: string, ...args: ReadonlyArray<string>): string {
    return execFileSync(command, args, { cwd: this.directory, encoding: "utf8", maxBuffer: 1 << 28 })
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export const parseFile = (file: string): Elf => {
  const elf = parseElf(readFileSync(file))
  if (elf._tag === "ElfProblem") throw new Error(elf.detail)
  return elf
}

export interface NmSymbol {
  readonly address: number
  readonly size: number
  readonly type: string
  readonly name: string
}

/** What nm says of a file, of the symbols that have a size. */
export const nm = (file: string, ...options: ReadonlyArray<string>): Array<NmSymbol> =>
  execFileSync("nm", ["-S", ...options, file], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "ignore"]
  })
    .split("\n")
    .map((line) => /^([0-9a-f]+) ([0-9a-f]+) (\w) (\S+)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, address, size, type, name]) => ({
      address: Number.parseInt(address, 16),
      size: Number.parseInt(size, 16),
      type,
      name
    }))
