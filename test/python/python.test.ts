/**
 * The tests of the Python package, run by pytest, and mypy over its sources: `npm test` is all tests. They need an
 * interpreter with PyTorch; `sh scripts/setup-torch.sh` makes one, `PODFS_PYTHON` names another.
 */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const PROJECT = resolve(import.meta.dirname, "../..");
const PACKAGE = join(PROJECT, "python");
const INTERPRETER = process.env.PODFS_PYTHON ?? join(PROJECT, "build/python/bin/python");
/** Eight processes that import torch and two cores: minutes, on a bad day. */
const TIMEOUT_MS = 15 * 60_000;
const OUTPUT_BYTES_MAX = 64 << 20;

const ENVIRONMENT = {
  ...process.env,
  PYTHONPATH: join(PACKAGE, "src"),
  // Nothing is to be left in the source tree.
  PYTHONDONTWRITEBYTECODE: "1",
};

/** Why the tests cannot run here; undefined when they can. */
function obstacle(): string | undefined {
  if (process.env.PODFS_PYTHON === undefined && !existsSync(INTERPRETER))
    return "no build/python: sh scripts/setup-torch.sh";
  const imports = spawnSync(INTERPRETER, ["-c", "import pytest, torch"], { encoding: "utf8" });
  if (imports.error !== undefined) return imports.error.message;
  return imports.status === 0 ? undefined : `${INTERPRETER}: ${imports.stderr.trim().split("\n").at(-1) ?? ""}`;
}

/** Runs a module of Python in python/. Its output is told either way, for what it skipped and why. */
function runModule(...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((settle) => {
    execFile(
      INTERPRETER,
      ["-m", ...args],
      { cwd: PACKAGE, env: ENVIRONMENT, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout, stderr) =>
        settle({ code: error === null ? 0 : Number(error.code ?? -1), output: stdout + stderr }),
    );
  });
}

/** From "short test summary" on: what was skipped and why, and the counts. */
function summary(output: string): string {
  const lines = output.trim().split("\n");
  const start = lines.findIndex((line) => line.includes("short test summary"));
  return lines.slice(start === -1 ? -1 : start + 1).join("\n");
}

const reason = obstacle();
const files = readdirSync(join(PACKAGE, "tests")).filter((name) => /^test_.*\.py$/.test(name));

describe.skipIf(reason !== undefined)(`the Python package${reason === undefined ? "" : ` (${reason})`}`, () => {
  for (const file of files)
    it(
      `passes ${file}`,
      async () => {
        const { code, output } = await runModule("pytest", "-q", "-rs", "-p", "no:cacheprovider", `tests/${file}`);
        console.log(`${file}: ${summary(output)}`);
        expect(code, output).toBe(0);
      },
      TIMEOUT_MS,
    );

  it(
    "has types that hold (mypy --strict)",
    async () => {
      const { code, output } = await runModule("mypy", "--strict", "--cache-dir", join(PROJECT, "build/mypy"), "src");
      expect(code, output).toBe(0);
    },
    TIMEOUT_MS,
  );
});
