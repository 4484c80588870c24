import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine } from "../support/podfs.js";
import { simulatedDriverEnvironment } from "./support/simulated-driver.js";

const PROGRAM = fileURLToPath(new URL("./support/stager-program.mjs", import.meta.url));
const TIMEOUT_MS = 250_000;
const obstacle = mountObstacle();

interface Outcome {
  readonly mode: string;
  readonly reason?: string;
  readonly same?: boolean;
  readonly kind?: string;
  readonly message?: string;
  readonly again?: boolean;
}

describe("tensors on a GPU, of JavaScript programs, with the simulated driver", () => {
  let machine: PodfsMachine;

  beforeEach(async () => {
    machine = await PodfsMachine.create(simulatedDriverEnvironment());
  });
  afterEach(() => machine.dispose());

  async function run(directory: string, mode: string, settings: Record<string, string> = {}): Promise<Outcome> {
    const env = { ...machine.environment, ...simulatedDriverEnvironment(settings) };
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, directory, mode], {
      env,
      timeout: TIMEOUT_MS,
    });
    return JSON.parse(stdout) as Outcome;
  }

  it("are saved and loaded without a mount", async () => {
    expect(await run(await machine.path("plain"), "file")).toEqual({ mode: "file", reason: "", same: true });
  });

  it("are copied all the same where the ring cannot be pinned, which is said", async () => {
    const outcome = await run(await machine.path("plain"), "file", { FAIL: "cuMemHostRegister_v2=2" });
    expect(outcome).toMatchObject({ mode: "file", same: true });
    expect(outcome.reason).toMatch(/^the ring could not be pinned: /);
  });

  it("leave nothing behind when the driver fails, and the next save does not meet what it may still write", async () => {
    const directory = await machine.path("plain");
    const outcome = await run(directory, "file", { FAIL: "cuMemcpyDtoHAsync_v2=719@1+" });
    expect(outcome).toMatchObject({ kind: "device", again: true });
    expect(await readdir(directory)).toEqual(["again.safetensors"]);
  });

  describe.skipIf(obstacle !== undefined)(`in a mount (${obstacle ?? "real mounts"})`, () => {
    it.each(["shm", "ipc"])("are saved and loaded in mode %s", async (mode) => {
      const workspace = await machine.path("workspace");
      await machine.mount(await machine.path("store"), workspace, "--create");
      expect(await run(workspace, mode)).toEqual({ mode, reason: "", same: true });
      expect(await machine.runOk("checkpoint", "verify", `${workspace}/step-1`)).toMatch(/: whole, 3 tensors/);
    });
  });
});
