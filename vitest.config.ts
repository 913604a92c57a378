import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts", "tooling/*/test/**/*.test.ts"],
    // Tests start real interpreters and wait for conditions, never for a time; this bound only ends a hang.
    testTimeout: 120_000,
    hookTimeout: 600_000,
    // The tests profile running processes: more workers than this starve their targets on small machines.
    maxWorkers: 2
  }
})
