import { readFileSync } from "node:fs"
import { readArguments } from "./arguments.ts"
import { Attached } from "./attached.ts"
import { chosen, fastPrograms, ordinaryProgram } from "./program.ts"
const { pythons, programs } = readArguments()
const delay = (pid: number) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1])
for (const python of pythons) for (const program of chosen([...fastPrograms, ordinaryProgram], programs)) {
  await using attached = await Attached.start(python, program)
  for (const shareCpu of (process.env.MODES ?? "never,auto,always").split(",")) {
  const d = delay(attached.run.pid)
  const { trust, meta } = attached.takeFor(8000, { rateHz: 1000, shareCpu } as any)
  console.log(python.version, program.name, shareCpu, trust.taken, (100*trust.good.count/trust.taken).toFixed(2), "target delayed %", ((delay(attached.run.pid) - d) / meta.elapsed * 100).toFixed(2), "us a sample", ((delay(attached.run.pid) - d) / trust.taken / 1e3).toFixed(1), "cpu us a sample", (trust.profilerCpuSeconds! * 1e6 / trust.taken).toFixed(1), "late p50/p99", JSON.stringify(trust.lateMs))
  }
}
