import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Processes, not threads: the addon, LMDB and mounts belong to a process, and a crash must end one file only.
    pool: "forks",
    // Generous: no test measures speed, and a slow machine is not a failure.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    // What needs something absent says so in its name: see CONVENTIONS, "Tests".
    allowOnly: process.env.CI !== "true",
  },
});
