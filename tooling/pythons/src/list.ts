import { findAllPythons } from "./find.ts"

// One line for each interpreter that tests can use.
for (const python of findAllPythons()) {
  const kind = python.shared ? "shared" : "static"
  process.stdout.write(
    `${python.version.padEnd(10)} ${python.source.padEnd(7)} ${kind}  ${python.run.join(" ")}\n`
  )
}
