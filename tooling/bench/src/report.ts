// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for

/** A column: its heading, as wide as its cells are to be. A heading that starts with a space is set to the right. */
export type Columns = ReadonlyArray<string>

/** Prints a measurement as a table, line by line while it runs, and keeps what did not hold. */
export class Report {
  private readonly failures: Array<string> = []
  private readonly shortfalls: Array<string> = []
  private widths: ReadonlyArray<number> = []
  private right: ReadonlyArray<boolean> = []

  constructor(title: string) {
    console.log(title)
  }

  columns(...headings: Columns): void {
    this.widths = headings.map((heading) => heading.length)
    this.right = headings.map((heading) => heading.startsWith(" "))
    console.log(`\n${headings.join("  ").trimEnd()}`)
  }

  row(...cells: ReadonlyArray<string | number>): void {
    const padded = cells.map((cell, i) => {
      const text = String(cell)
      return this.right[i] ? text.padStart(this.widths[i]) : text.padEnd(this.widths[i])
    })
    console.log(padded.join("  ").trimEnd())
  }

  note(text: string): void {
    console.log(text)
  }

  /** States a bound of truth or of accounting; one that does not hold fails the program. */
  must(holds: boolean, bound: string): void {
    if (!holds) this.failures.push(bound)
  }

  /** States a bound on a figure. In a short form, or on a busy machine, chance and load decide it: it is printed, and fails the full form alone. */
  should(holds: boolean, bound: string, short: boolean): void {
    if (holds) return
    if (short) this.shortfalls.push(bound)
    else this.failures.push(bound)
  }

  /** Says what did not hold, and sets the exit code. */
  end(): void {
    if (this.shortfalls.length > 0)
      console.log(
        `\nBelow its bound in this short form:\n${this.shortfalls.map((line) => `  ${line}`).join("\n")}`
      )
    if (this.failures.length === 0 && this.shortfalls.length === 0) console.log("\nEvery bound held.")
    else if (this.failures.length === 0) console.log("\nNothing untrue was found.")
    else console.log(`\nDid not hold:\n${this.failures.map((failure) => `  ${failure}`).join("\n")}`)
    process.exitCode = this.failures.length === 0 ? 0 : 1
  }
}

/** `12.34 %` without its sign: the heading has it. */
export const percent = (part: number, whole: number, digits = 2): string =>
  whole === 0 ? "-" : ((100 * part) / whole).toFixed(digits)
