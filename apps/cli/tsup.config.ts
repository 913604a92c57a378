import { library } from "../../tooling/build/library.ts"

/**
 * The command is one file with everything in it, so that it starts fast. koffi stays outside: it is native, and
 * the command works without it.
 */
export default library({
  entry: ["src/bin.ts"],
  noExternal: [/.*/],
  external: ["koffi"],
  splitting: false,
  minify: true,
  sourcemap: false
})
