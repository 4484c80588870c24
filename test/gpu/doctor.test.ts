import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import type { Finding } from "../../src/cli/doctor/finding.js";
import { simulatedDriverEnvironment } from "./support/simulated-driver.js";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

describe("doctor, with the simulated driver", () => {
  async function examine(settings: Readonly<Record<string, string>>): Promise<{ gpu?: Finding; staging?: Finding }> {
    // Its exit code says whether podfs can mount here, which is not the question.
    const args = [PROGRAM, "doctor", "--json", "--cache-dir", tmpdir()];
    const { stdout } = await run(process.execPath, args, { env: simulatedDriverEnvironment(settings) }).catch(
      (error: { readonly stdout: string }) => error,
    );
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    const [gpu, staging] = ["GPU driver", "staging"].map((name) => findings.find(({ check }) => check === name));
    return { ...(gpu && { gpu }), ...(staging && { staging }) };
  }

  test("names the devices, and every mode", async () => {
    const { gpu, staging } = await examine({ DEVICES: "2" });
    expect(gpu).toMatchObject({
      verdict: "ok",
      found: expect.stringMatching(/CUDA 13\.0: Simulated GPU 0 \(no hardware\) \(1 GiB\), Simulated GPU 1 /),
    });
    expect(staging).toMatchObject({ verdict: "ok", found: "shm, pinned memory, ipc, file" });
  });

  test("says which mode is not to be had, and why", async () => {
    const { staging } = await examine({ FAIL: "cuMemHostRegister_v2=2,cuIpcGetMemHandle=801" });
    expect(staging).toMatchObject({
      verdict: "warn",
      found:
        "shm, file, no pinned memory (CUDA_ERROR_OUT_OF_MEMORY (2): out of memory, cuMemHostRegister), " +
        "no ipc (CUDA_ERROR_NOT_SUPPORTED (801): operation not supported, cuIpcGetMemHandle)",
    });
    expect(staging?.found).not.toContain("no shm");
  });

  test("a driver that does not start is said to", async () => {
    const { gpu, staging } = await examine({ FAIL: "cuInit=999" });
    expect(gpu?.found).toContain("the CUDA driver does not start: CUDA_ERROR_UNKNOWN (999)");
    expect(staging).toMatchObject({ verdict: "ok", found: "shm, file" });
  });
});
