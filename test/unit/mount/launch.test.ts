import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { UserError } from "../../../src/base/index.js";
import { processEnvironment, resolveMountOptions } from "../../../src/config/index.js";
import { type LaunchOptions, launchDaemon } from "../../../src/mount/launch.js";
import type { MountSummary } from "../../../src/mount/launch-protocol.js";
import { prepareStateDirectory } from "../../../src/mount/state-directory.js";
import { CONDITION_VARIABLES_PATH } from "../../../src/native/index.js";

const entry = fileURLToPath(new URL("./launched-program.mjs", import.meta.url));
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-launch-"));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true });
});

function launch(behaviour: string, options: LaunchOptions = {}): Promise<MountSummary> {
  const environment = { ...processEnvironment(), variables: { PODFS_STATE_DIR: join(directory, "state") } };
  return launchDaemon(resolveMountOptions("/store", join(directory, behaviour), {}, environment), {
    entry,
    ...options,
  });
}

describe("starting a mount in the background", () => {
  test("reports progress, returns when the mount is ready, and leaves the process running, away from here", async () => {
    const progress: string[] = [];
    const summary = await launch("ready", { onProgress: (text) => progress.push(text) });
    expect(progress).toEqual(["reading metadata"]);
    expect(summary).toMatchObject({ mountpoint: join(directory, "ready"), cwd: "/" });
    expect(process.kill(summary.pid, "SIGTERM")).toBe(true);
  });

  test("has its own condition variables preloaded, after what the user preloads", async () => {
    vi.stubEnv("LD_PRELOAD", "libm.so.6");
    const { pid } = await launch("ready");
    try {
      const environment = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0");
      expect(environment).toContain(`LD_PRELOAD=libm.so.6:${CONDITION_VARIABLES_PATH}`);
      expect(await readFile(`/proc/${pid}/maps`, "utf8")).toContain(CONDITION_VARIABLES_PATH);
    } finally {
      process.kill(pid, "SIGTERM");
    }
  });

  test("fails with the reason the process gave", async () => {
    await expect(launch("failed")).rejects.toThrow(new UserError("there is no volume"));
  });

  test("says how a process ended that gave none, and its last words", async () => {
    await expect(launch("throws")).rejects.toThrow(
      /^the mount process ended unexpectedly \(exit code 1\): Error: out of luck; its log is .*daemon\.log$/,
    );
    await expect(launch("killed")).rejects.toThrow(/^the mount process ended unexpectedly \(SIGKILL\); its log is/);
  });

  test("ends the process when it is interrupted", async () => {
    const abort = new AbortController();
    const launched = launch("slow", { onProgress: () => abort.abort(), signal: abort.signal });
    await expect(launched).rejects.toThrow(/^interrupted before the mount was ready/);
  });

  test("refuses a state directory in which no socket could be named", async () => {
    const long = join(directory, "x".repeat(100));
    await expect(prepareStateDirectory(long, "/workspace", "pod")).rejects.toThrow(
      /too long by \d+ bytes.*PODFS_STATE_DIR/,
    );
  });

  test("refuses a state directory that others can write to", async () => {
    const { chmod, mkdir } = await import("node:fs/promises");
    await mkdir(join(directory, "state"));
    await chmod(join(directory, "state"), 0o777);
    await expect(launch("ready")).rejects.toThrow(/can be written by, somebody else/);
  });
});
