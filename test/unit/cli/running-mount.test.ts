import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ControlError } from "../../../src/mount/control-error.js";
import { type ControlHandlers, type ControlServer, serveControl } from "../../../src/mount/control-server.js";
import { prepareStateDirectory } from "../../../src/mount/state-directory.js";
import { sampleStatus } from "../mount/sample-status.js";
import { run } from "./run.js";

const GIB = 1024 ** 3;
let directory: string;
let mountpoint: string;
let server: ControlServer | undefined;
let stopped: ChildProcess | undefined;

beforeEach(async () => {
  mountpoint = directory = await mkdtemp(join(tmpdir(), "podfs-cli-"));
  vi.stubEnv("PODFS_STATE_DIR", join(directory, "state"));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server?.close();
  server = undefined;
  stopped?.kill();
  stopped = undefined;
  await rm(directory, { recursive: true });
});

/** A control socket as a mount has it, with nothing mounted. */
async function serve(changed: Partial<ControlHandlers> = {}): Promise<void> {
  const { controlSocket } = await prepareStateDirectory(join(directory, "state"), mountpoint, hostname());
  server = await serveControl(controlSocket, {
    ping: () => ({ pid: 1, version: "0.1.0" }),
    status: () => sampleStatus("/workspace"),
    flush: async () => ({ durationMs: 4200 }),
    drop: async () => ({ files: 0, bytes: 0, kept: { notUploaded: 0, open: 0, fetching: 0 } }),
    stop: async () => ({ pendingFiles: 0, pendingBytes: 0, cacheDir: "/cache", durationMs: 1500 }),
    ...changed,
  });
}

describe("status", () => {
  test("is for people", async () => {
    await serve();
    const { exitCode, stdout, stderr } = await run("status", mountpoint);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toBe(`/workspace
  volume     0b0f5a3e-6b1c-4f44-9d0c-3f5a1f9e2b77
  backend    s3://bucket/prefix
  upload     1,234 files (3 GiB) to go, oldest since 42 s
             last error: PUT pack/ab/ab12: connection refused
  cache      [#####...............] 50 GiB of 200 GiB, 3 GiB of it not uploaded
             /var/cache/podfs/bucket-prefix-0123456789ab
  traffic    1.86 GiB out (17 puts), 4.66 GiB in (230 gets), 3 retries, 1 error
  requests   181,027: lookup 120,000, getattr 60,000, open 500, release 500, create 20 …
  staging    14 checkpoint files (56 GiB) saved, 1 failed; 1 GiB of 8 GiB of memory in use
             written with threads (io_uring is forbidden here (EPERM))
             pid 815, python 0.1.0: shm, 512 MiB, 1 save running
             pid 816, python 0.1.0: shm (the client is in another PID namespace), 512 MiB
  transport  native, passthrough no (needs CAP_SYS_ADMIN)
  lease      epoch 3, held by pod-1 (pid 4711)
  process    pid 4711, podfs 0.1.0, up 3 h 12 min
`);
  });

  test("is for programs", async () => {
    await serve();
    expect(JSON.parse((await run("status", "--json", mountpoint)).stdout)).toEqual(sampleStatus("/workspace"));
  });

  test("says what is there when it is no mount", async () => {
    expect(await run("status", mountpoint)).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `podfs: ${mountpoint} is not a podfs mount; podfs status lists those there are\n`,
    });
    expect((await run("status", "/proc")).stderr).toMatch(/^podfs: \/proc is not a podfs mount \(it is proc\);/);
  });
});

describe("flush", () => {
  test("returns when the mount is done", async () => {
    await serve();
    expect(await run("flush", mountpoint)).toEqual({
      exitCode: 0,
      stdout: `${mountpoint}: everything is in the volume (4.2 s)\n`,
      stderr: "",
    });
    expect(JSON.parse((await run("flush", "--json", mountpoint)).stdout)).toEqual({ mountpoint, durationMs: 4200 });
  });

  test("passes on why it failed", async () => {
    await serve({ flush: () => Promise.reject(new Error("another pod took the volume")) });
    expect(await run("flush", mountpoint)).toMatchObject({
      exitCode: 1,
      stderr: `podfs: ${mountpoint}: another pod took the volume\n`,
    });
  });
});

describe("umount", () => {
  /** A process that answers a stop, and ends a little later: umount must wait for that. */
  async function serveStop(report: { pendingFiles: number; pendingBytes: number; lastError?: string }): Promise<void> {
    const { controlSocket } = await prepareStateDirectory(join(directory, "state"), mountpoint, hostname());
    const program = fileURLToPath(new URL("./stopping-mount.mjs", import.meta.url));
    const result = { ...report, cacheDir: "/cache", durationMs: 1500 };
    stopped = spawn(process.execPath, [program, controlSocket, JSON.stringify(result)]);
    await new Promise((resolve) => stopped?.stdout?.once("data", resolve));
  }

  test("asks the mount to upload for as long as --timeout says", async () => {
    const asked: number[] = [];
    const stop: ControlHandlers["stop"] = (drainTimeoutMs) => {
      asked.push(drainTimeoutMs);
      return Promise.reject(new Error("not now"));
    };
    await serve({ stop });
    for (const args of [[], ["--timeout", "2m"], ["--timeout", "0"], ["--force"]])
      await run("umount", ...args, mountpoint);
    expect(asked).toEqual([25_000, 120_000, 0, 0]);
  });

  test("says who is in the way", async () => {
    const users = `${mountpoint} is in use by bash (pid 7, in ${mountpoint})`;
    await serve({ stop: () => Promise.reject(new ControlError("busy", users)) });
    expect(await run("umount", mountpoint)).toEqual({ exitCode: 1, stdout: "", stderr: `podfs: ${users}\n` });
  });

  test("reports what is left, with exit code 1", async () => {
    await serveStop({ pendingFiles: 12, pendingBytes: 3 * GIB, lastError: "connection refused" });
    const { exitCode, stderr } = await run("umount", mountpoint);
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      `podfs: unmounted ${mountpoint}, but 12 files (3 GiB) are not in the volume yet (connection refused); ` +
        "they are safe in /cache, and the next mount with that --cache-dir uploads them\n",
    );
  });

  test("says so when all is well, and the process has ended", async () => {
    await serveStop({ pendingFiles: 0, pendingBytes: 0 });
    expect(await run("umount", mountpoint)).toEqual({
      exitCode: 0,
      stdout: `${mountpoint}: unmounted, everything is in the volume (1.5 s)\n`,
      stderr: "",
    });
    await expect.poll(() => stopped?.exitCode).toBe(0);
  });
});
