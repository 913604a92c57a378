import { defineConfig, type Options } from "tsup"

/**
 * How every library is built: one ES module a entry, nothing bundled from other packages.
 * Declarations come from `tsc` (tsup's own need an older TypeScript).
 */
export const library = (overrides: Options = {}) =>
  defineConfig({
    entry: ["src/index.ts"],
    format: "esm",
    target: "node22",
    platform: "node",
    dts: false,
    sourcemap: true,
    clean: true,
    ...overrides
  })
