/**
 * The tests of the Python package, run by pytest, and mypy over its sources: `npm test` is all tests. They need an
 * interpreter with PyTorch; `sh scripts/setup-torch.sh` makes one, `PODFS_PYTHON` names another.
 */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { PYTHON_PACKAGE, pythonObstacle, runPython } from "../support/python.js";

const PROJECT = resolve(import.meta.dirname, "../..");
/** Eight processes that import torch and two cores: minutes, on a bad day. */
const TIMEOUT_MS = 15 * 60_000;

/** From "short test summary" on: what was skipped and why, and the counts. */
function summary(output: string): string {
  const lines = output.trim().split("\n");
  const start = lines.findIndex((line) => line.includes("short test summary"));
  return lines.slice(start === -1 ? -1 : start + 1).join("\n");
}

const reason = pythonObstacle();
const files = readdirSync(join(PYTHON_PACKAGE, "tests")).filter((name) => /^test_.*\.py$/.test(name));

describe.skipIf(reason !== undefined)(`the Python package${reason === undefined ? "" : ` (${reason})`}`, () => {
  for (const file of files)
    it(
      `passes ${file}`,
      async () => {
        const { code, output } = await runPython(
          "-m",
          "pytest",
          "-q",
          "-rs",
          "-p",
          "no:cacheprovider",
          `tests/${file}`,
        );
        console.log(`${file}: ${summary(output)}`);
        expect(code, output).toBe(0);
      },
      TIMEOUT_MS,
    );

  it(
    "has types that hold (mypy --strict)",
    async () => {
      const { code, output } = await runPython(
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        join(PROJECT, "build/mypy"),
        "src",
      );
      expect(code, output).toBe(0);
    },
    TIMEOUT_MS,
  );
});
