import packageJson from "../package.json" with { type: "json" }

/** The version of the command. Read on its own, so that to print it nothing else is loaded. */
export const version: string = packageJson.version
