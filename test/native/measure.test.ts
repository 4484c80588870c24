import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type LoopSpec, loadAddon } from "../../src/native/index.js";

const ADDON = fileURLToPath(new URL("../../build/Release/podfs.node", import.meta.url));
const KIB = 1024;
const FILES = 20;

describe("measuring loops", () => {
  const addon = loadAddon();
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-measure-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function spec(changes: Partial<LoopSpec>): LoopSpec {
    return {
      ...{ loop: "write", path: join(directory, "file"), threads: 1, share: 0, shares: 1 },
      ...{ blockSize: 64 * KIB, blockSizeMin: 64 * KIB, fileSize: 1024 * KIB },
      ...{ files: FILES, filesPerDirectory: 10, prefix: "f", shuffle: false },
      ...{ operationsMax: 0, repeat: false, microsMax: 60e6, seed: 1 },
      ...changes,
    };
  }

  function tree(changes: Partial<LoopSpec>): LoopSpec {
    return spec({ path: directory, blockSize: 4 * KIB, blockSizeMin: 100, ...changes });
  }

  test("time every operation, and count what was moved", async () => {
    const written = await addon.measure(spec({})).done;
    expect(written).toMatchObject({ operations: 16, operationsMin: 16, amount: 1024 * KIB });
    expect(written.seconds).toBeGreaterThan(0);
    expect(written.syncSeconds).toBeGreaterThan(0);
    const { latencies } = written;
    expect(latencies.buckets.reduce((sum, [, count]) => sum + count, 0)).toBe(16);
    expect(latencies.buckets.map(([upper]) => upper)).toEqual(
      latencies.buckets.map(([upper]) => upper).toSorted((one, other) => one - other),
    );
    expect(latencies.minNs).toBeLessThanOrEqual(latencies.meanNs);
    expect(latencies.meanNs).toBeLessThanOrEqual(latencies.maxNs);
  });

  test("write what neither compresses nor repeats", async () => {
    await addon.measure(spec({})).done;
    const blocks = Array.from({ length: 256 }, (_, index) =>
      readFileSync(join(directory, "file"))
        .subarray(index * 4096, (index + 1) * 4096)
        .toString("latin1"),
    );
    expect(new Set(blocks).size).toBe(256);
  });

  test.each([
    ["read", {}, 16],
    ["map", {}, 16],
    ["read-random", { operationsMax: 50 }, 50],
    ["map-random", { operationsMax: 50 }, 50],
    ["write-random", { operationsMax: 50 }, 50],
    ["read", { repeat: true, microsMax: 20_000 }, undefined],
    ["read", { threads: 4 }, 16],
  ] as const)("%s %j of a large file", async (loop, changes, operations) => {
    await addon.measure(spec({})).done;
    const result = await addon.measure(spec({ loop, ...changes })).done;
    if (operations === undefined) expect(result.operations).toBeGreaterThan(0);
    else expect(result.operations).toBe(operations);
    expect(result.amount).toBe(result.operations * 64 * KIB);
    expect(statSync(join(directory, "file")).size).toBe(1024 * KIB);
  });

  test("go over a tree of small files from creating to deleting them", async () => {
    for (const name of ["d0", "d1"]) mkdirSync(join(directory, name));
    const run = (changes: Partial<LoopSpec>) => addon.measure(tree({ threads: 2, ...changes })).done;
    const created = await run({ loop: "create" });
    expect(created.operations).toBe(FILES);
    expect(readdirSync(join(directory, "d1")).toSorted()).toContain("f19");
    for (const loop of ["stat", "chmod", "drop-files"] as const) {
      expect((await run({ loop })).operations).toBe(FILES);
    }
    expect((await run({ loop: "read-files", shuffle: true })).amount).toBe(created.amount);
    expect(await run({ loop: "list" })).toMatchObject({ operations: 2, amount: FILES });
    for (const [loop, prefix] of [
      ["symlink", "s"],
      ["mkdir", "m"],
      ["rmdir", "m"],
      ["remove", "s"],
      ["rename", "f"],
      ["remove", "r"],
    ] as const) {
      expect((await run({ loop, prefix })).operations, loop).toBe(FILES);
    }
    expect(readdirSync(directory, { recursive: true }).toSorted()).toEqual(["d0", "d1"]);
  });

  test("report how many operations there are while they run, and end when cancelled", async () => {
    await addon.measure(spec({})).done;
    const loop = addon.measure(spec({ loop: "read", repeat: true }));
    while (loop.operations() < 100) await new Promise((resume) => setImmediate(resume));
    loop.cancel();
    const { operations } = await loop.done;
    expect(operations).toBeGreaterThanOrEqual(100);
    expect(loop.operations()).toBe(operations);
  });

  test("fail with what the system said, the call and the file", async () => {
    const missing = addon.measure(tree({ loop: "create" })).done;
    await expect(missing).rejects.toMatchObject({
      code: "ENOENT",
      message: `ENOENT: no such file or directory, create '${directory}/d0/f0'`,
    });
    await addon.measure(spec({})).done;
    await expect(addon.measure(spec({ loop: "map", fileSize: 2048 * KIB })).done).rejects.toThrow(/^ENODATA: .*mmap/);
    await expect(addon.measure(spec({ loop: "read", fileSize: 2048 * KIB })).done).rejects.toThrow(/^ENODATA: .*read/);
  });

  test("drop pages, also those that were mapped", async (context) => {
    // tmpfs keeps them.
    if (existsSync("/dev/shm") && statSync(directory).dev === statSync("/dev/shm").dev) {
      return context.skip("the temporary directory is on tmpfs");
    }
    await addon.measure(spec({})).done;
    await addon.measure(spec({ loop: "map" })).done;
    // What others write back or read at this moment is dropped the next time.
    await expect.poll(async () => (await addon.measure(spec({ loop: "drop" })).done).amount).toBe(0);
  });

  test("end with the environment they run in", async () => {
    await addon.measure(spec({})).done;
    const endless = spec({ loop: "read", repeat: true, threads: 2 });
    const code = `const { parentPort, workerData } = require("node:worker_threads");
      const loop = require(workerData.addon).measure(workerData.spec);
      const poll = () => loop.operations() > 0 ? parentPort.postMessage("runs") : setImmediate(poll);
      poll();`;
    const worker = new Worker(code, { eval: true, workerData: { addon: ADDON, spec: endless } });
    await new Promise((resolve) => worker.once("message", resolve));
    expect(await worker.terminate()).toBe(1);
  });
});
