import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const PROJECT = resolve(import.meta.dirname, "../..");
const OUTPUT_BYTES_MAX = 64 << 20;

export const PYTHON_PACKAGE = join(PROJECT, "python");
const INTERPRETER = process.env.PODFS_PYTHON ?? join(PROJECT, "build/python/bin/python");

const ENVIRONMENT = {
  ...process.env,
  PYTHONPATH: join(PYTHON_PACKAGE, "src"),
  // Nothing is to be left in the source tree.
  PYTHONDONTWRITEBYTECODE: "1",
};

/** Why tests that need PyTorch cannot run here; undefined when they can. */
export function pythonObstacle(): string | undefined {
  if (process.env.PODFS_PYTHON === undefined && !existsSync(INTERPRETER))
    return "no build/python: sh scripts/setup-torch.sh";
  const imports = spawnSync(INTERPRETER, ["-c", "import pytest, torch"], { encoding: "utf8" });
  if (imports.error !== undefined) return imports.error.message;
  return imports.status === 0 ? undefined : `${INTERPRETER}: ${imports.stderr.trim().split("\n").at(-1) ?? ""}`;
}

/** Runs the interpreter, with the podfs package, in python/. Its output is told whatever its exit code. */
export function runPython(...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((settle) => {
    execFile(
      INTERPRETER,
      args,
      { cwd: PYTHON_PACKAGE, env: ENVIRONMENT, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout, stderr) =>
        settle({ code: error === null ? 0 : Number(error.code ?? -1), output: stdout + stderr }),
    );
  });
}
