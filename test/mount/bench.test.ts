import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BenchmarkResult } from "../../src/benchmark/index.js";
import { mountObstacle, PodfsMachine, waitUntil } from "../support/podfs.js";

const PROGRAM = resolve(import.meta.dirname, "../../dist/cli/main.js");
const SMALL = ["--quick", "--size", "4M", "--files", "40", "--step-time", "20ms", "--threads", "2"];

describe("podfs bench of a directory", () => {
  let machine: PodfsMachine;
  let directory: string;
  beforeAll(async () => {
    machine = await PodfsMachine.create();
    directory = await machine.path("measured");
  });
  afterAll(() => machine.dispose());

  function start(...args: string[]): ChildProcess & { readonly said: () => string } {
    const child = spawn(process.execPath, [PROGRAM, "bench", ...args], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr?.on("data", (text: Buffer) => {
      said += text.toString();
    });
    return Object.assign(child, { said: () => said });
  }

  const ended = (child: ChildProcess): Promise<readonly [code: number | null, signal: NodeJS.Signals | null]> =>
    new Promise((settle) => child.once("close", (code, signal) => settle([code, signal])));

  test("prints a table, and writes a page", async () => {
    const page = join(machine.directory, "bench.html");
    const { code, stdout, stderr } = await machine.run("bench", ...SMALL, "--html", page, directory);
    expect([code, stderr]).toEqual([0, `podfs: ${page} has the plots\n`]);
    expect(stdout).toMatch(/^podfs \d.*cores.*\n\n.*measured: \w+/);
    expect(stdout).toMatch(/^ {2}random read, 4 KiB ×2 +\S+ [kM]?\/s( +\S+ [nµm]s){3}$/m);
    expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>/i);
    expect(readdirSync(directory)).toEqual([]);
  });

  test("prints nothing but JSON when asked to", async () => {
    const result = JSON.parse(await machine.runOk("bench", ...SMALL, "--json", directory)) as BenchmarkResult;
    expect(result.formatVersion).toBe(1);
    expect(result.measurements.find(({ id }) => id === "stat")?.samples[0]?.latency?.count).toBeGreaterThan(0);
  });

  test.each([
    ["images", ["images-write", "images-epoch-cold", "images-epoch-warm"]],
    ["tokens", ["tokens-cold", "tokens-warm"]],
    ["checkpoint", ["checkpoint-save-alone", "checkpoint-save-reading", "checkpoint-read-saving"]],
  ])("does what a data loader does: %s", async (loader, ids) => {
    const text = await machine.runOk("bench", ...SMALL, "--json", "--data-loader", loader, directory);
    const { measurements, targets } = JSON.parse(text) as BenchmarkResult;
    // A page cache that cannot be dropped (tmpfs) has no cold figures, and says so.
    const isCold = !targets[0]?.details.includes("no cold figures");
    const measured = measurements.map(({ id }) => id);
    expect(measured).toEqual(expect.arrayContaining(ids.filter((id) => isCold || !id.includes("cold"))));
    expect(readdirSync(directory)).toEqual([]);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("removes what it has written on %s", async (signal) => {
    const child = start("--data-loader", "images", "--files", "20000", directory);
    const end = ended(child);
    await waitUntil(() => readdirSync(directory).length > 0, "it writes");
    child.kill(signal);
    expect(await end).toEqual([signal === "SIGINT" ? 130 : 143, null]);
    expect(child.said()).toContain("podfs: interrupted; what it had written is removed\n");
    expect(readdirSync(directory)).toEqual([]);
  });

  test("stops at once on the second signal", async () => {
    const child = start("--data-loader", "images", "--files", "20000", directory);
    const end = ended(child);
    await waitUntil(() => existsSync(join(workspace(), "images/d3")), "it writes");
    child.kill("SIGINT");
    await waitUntil(() => child.said().includes("stopping"), "it heard the first");
    child.kill("SIGINT");
    const [code, signal] = await end;
    // It may have been done before it heard the second.
    expect(signal ?? code).toBe(signal === null ? 130 : "SIGINT");
    await rm(workspace(), { recursive: true, force: true });
  });

  test("names what a killed one has left", async () => {
    const child = start("--data-loader", "images", "--files", "20000", directory);
    const end = ended(child);
    await waitUntil(() => existsSync(workspace()), "it writes");
    child.kill("SIGKILL");
    await end;
    const left = workspace();
    const { code, stderr } = await machine.run("bench", ...SMALL, directory);
    expect([code, stderr]).toEqual([0, expect.stringContaining(`to remove it: rm -r ${left}`)]);
    expect(readdirSync(directory)).toHaveLength(1);
    await rm(left, { recursive: true });
  });

  function workspace(): string {
    return join(directory, readdirSync(directory)[0] ?? "none");
  }

  test.each([
    [["/no/such/directory"], 1, /^podfs: \/no\/such\/directory does not exist.*\n$/],
    [["/etc/hostname"], 1, /^podfs: \/etc\/hostname is not a directory\n$/],
    [["--size", "0", "."], 2, /^podfs: --size: 0 is too little.*\n$/],
    [["--size", "8E", "."], 2, /^podfs: --size: "8E" is not a size.*\n$/],
    [["--size", "1P", "."], 1, /^podfs: .* free, and .* are needed; .*\n$/],
    [["--threads", "0", "."], 2, /^podfs: --threads: "0" is not a whole number.*\n$/],
    [["--backend", "s3://bucket", "."], 2, /^podfs: a directory and --backend cannot be measured at once.*\n$/],
    [["--backend", "s3://bucket", "--rounds", "2"], 2, /^podfs: --rounds is for directories.*\n$/],
    [["--html", "/no/such/page.html", "."], 1, /^podfs: --html: .* cannot be written.*\n$/],
    [[], 2, /^podfs: name the directory to measure.*\n$/],
  ])("%j gets one clear line", async (args, code, line) => {
    expect(await machine.run("bench", ...args)).toEqual({ code, stdout: "", stderr: expect.stringMatching(line) });
  });
});

const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined)(
  `podfs bench of a mount${obstacle === undefined ? "" : `: ${obstacle}`}`,
  () => {
    let machine: PodfsMachine;
    beforeAll(async () => {
      machine = await PodfsMachine.create();
    });
    afterAll(() => machine.dispose());

    test("stands beside another directory, cold figures included", async () => {
      const [native, volume, mountpoint] = [
        await machine.path("native"),
        await machine.path("volume"),
        await machine.path("m"),
      ];
      await machine.mount(volume, mountpoint, "--create");
      const inside = join(mountpoint, "inside");
      await mkdir(inside);
      const args = [...SMALL, "--rounds", "2", "--json", native, "--compare", inside];
      const { targets, measurements } = JSON.parse(await machine.runOk("bench", ...args)) as BenchmarkResult;
      expect(targets[1]).toMatchObject({
        name: inside,
        kind: "fuse.podfs",
        details: expect.stringMatching(/^podfs \d/),
      });
      const cold = measurements.find(({ id }) => id === "sequential-read-cold");
      expect(cold?.samples.filter(({ target }) => target === 1)).toHaveLength(2);
      expect([...readdirSync(inside), ...readdirSync(native)]).toEqual([]);
      expect((await machine.run("bench", ...SMALL, native, "--compare", inside)).stdout).toMatch(
        /^ +B +\S+ \S+ +[\d.]+×/m,
      );
    });

    test("is refused by a read-only one with one clear line", async () => {
      const [volume, mountpoint] = [await machine.path("published"), await machine.path("reader")];
      await machine.mount(volume, mountpoint, "--create");
      await machine.unmount(mountpoint);
      await machine.mount(volume, mountpoint, "--read-only");
      const { code, stderr } = await machine.run("bench", mountpoint);
      expect([code, stderr]).toEqual([1, `podfs: ${mountpoint} is read-only; the benchmark needs to write there\n`]);
    });
  },
);
