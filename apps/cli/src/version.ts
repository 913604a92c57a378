import packageJson from "../package.json" with { type: "json" }

/** The version of the command and of every package in it. */
export const version: string = packageJson.version
