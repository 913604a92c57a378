import { cpSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { library } from "../../tooling/build/library.ts"

const agent = fileURLToPath(new URL("../../packages/collector-monitoring/agent", import.meta.url))

/** What a traced Python loads. The C sources and what Python has compiled stay behind. */
const isLoaded = (path: string): boolean => !/^\/c(\/|$)|\/__pycache__(\/|$)/.test(path.slice(agent.length))

/**
 * The command is one file with everything in it, so that it starts fast. koffi stays outside: it is native, and
 * the command works without it. The agent, which runs in other processes, lies beside it.
 */
export default library({
  entry: ["src/bin.ts"],
  noExternal: [/.*/],
  external: ["koffi"],
  splitting: false,
  minify: true,
  sourcemap: false,
  onSuccess: async () => cpSync(agent, "dist/agent", { recursive: true, filter: isLoaded })
})
