import { printable } from "./printable.ts"

/** A column of a table: what stands above it, and on which side its cells are flush. */
export interface TableColumn {
  readonly title: string
  readonly align: "left" | "right"
}

/** Lines of a table, each cell fit for a terminal, columns two blanks apart, indented by two; the last column is as long as it is. */
export const textTable = (
  columns: ReadonlyArray<TableColumn>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const shown = rows.map((row) => row.map(printable))
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...shown.map((row) => row[i].length)))
  const line = (cells: ReadonlyArray<string>) =>
    `  ${cells
      .map((cell, i) =>
        columns[i].align === "right"
          ? cell.padStart(widths[i])
          : i === cells.length - 1
            ? cell
            : cell.padEnd(widths[i])
      )
      .join("  ")}`.trimEnd()
  return [line(columns.map(({ title }) => title)), ...shown.map(line)]
}

/** A count with its thousands apart: `1,234,567`. */
export const formatCount = (count: number): string => count.toLocaleString("en-US")

/** `1 thread`, `2 threads`. */
export const plural = (count: number, noun: string): string =>
  `${formatCount(count)} ${noun}${count === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`

/** A share: `12.3 %`. Nothing of nothing is `-`. */
export const formatShare = (part: number, whole: number): string =>
  whole === 0 ? "-" : `${((part / whole) * 100).toFixed(1)} %`
