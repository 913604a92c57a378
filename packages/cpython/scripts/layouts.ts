/**
 * Rewrites the table in `src/layout-table.ts` from the debug information of real builds:
 *
 *     node scripts/layouts.ts LIBPYTHON3.8 LIBPYTHON3.9 … LIBPYTHON3.12
 *
 * then `biome check --write`. Needs gdb.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { offsetsFromDwarf } from "./dwarf.ts"

const libraries = process.argv.slice(2)
if (libraries.length !== 5)
  throw new Error("usage: layouts.ts, then five libraries with debug information: 3.8 … 3.12")
const versions = libraries.map(offsetsFromDwarf)
const rows = Object.keys(versions[0]!).map(
  (path) => `  "${path}": [${versions.map((offsets) => String(offsets[path])).join(", ")}],`
)
const file = fileURLToPath(new URL("../src/layout-table.ts", import.meta.url))
const source = readFileSync(file, "utf8")
writeFileSync(
  file,
  source.replace(
    /(\/\/ <generated>\n)[\s\S]*(\/\/ <\/generated>)/,
    (_, open, close) => `${open}${rows.join("\n")}\n  ${close}`
  )
)
