/** bench/gpu/ is for machines that CI does not have: here, that it works, on the simulated driver. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { simulatedDriverEnvironment } from "../gpu/support/simulated-driver.js";
import { mountObstacle } from "../support/podfs.js";

const PROGRAM = resolve(import.meta.dirname, "../../bench/gpu/run.py");
const TIMEOUT_MS = 10 * 60_000;

interface Document {
  readonly checks: readonly { readonly what: string; readonly passed: boolean }[];
  readonly rows: readonly object[];
  readonly failures: readonly object[];
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "podfs-gpu-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function run(
  settings: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly output: string }> {
  const environment = { ...simulatedDriverEnvironment(settings), PYTHONDONTWRITEBYTECODE: "1" };
  return new Promise((settle) => {
    execFile("python3", [PROGRAM, ...args], { env: environment, cwd: directory }, (error, stdout, stderr) =>
      settle({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

function obstacle(): string | undefined {
  const python = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]);
  return python.status === 0 ? undefined : "there is no Python 3.10";
}

const reason = obstacle();

describe.skipIf(reason !== undefined)(`the GPU benchmark${reason === undefined ? "" : ` (${reason})`}`, () => {
  it("says in one line that there is no GPU", async () => {
    const { code, output } = await run({ DEVICES: "0" });
    expect(output).toMatch(/^bench\/gpu: .+; nothing was measured\n$/);
    expect(code).toBe(2);
  });

  it(
    `checks saves, restores and killed clients on the simulated driver, and measures nothing${mountObstacle() === undefined ? "" : ` (without a mount: ${mountObstacle()})`}`,
    async () => {
      const { code, output } = await run({}, "--simulated", "--dir", directory, "--output", join(directory, "results"));
      expect(code, output).toBe(0);
      const document = JSON.parse(readFileSync(join(directory, "results/gpu.json"), "utf8")) as Document;
      expect(document.rows).toEqual([]);
      expect(document.failures).toEqual([]);
      const modes = mountObstacle() === undefined ? ["file", "shm", "ipc"] : ["file"];
      for (const mode of modes)
        expect(document.checks.map(({ what }) => what)).toContain(`mode ${mode}, after kills: loaded`);
    },
    TIMEOUT_MS,
  );
});
