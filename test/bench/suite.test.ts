import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";

const BENCH = resolve(import.meta.dirname, "../../bench");

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "podfs-suite-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Runs a script of the suite to its end. */
function script(name: string, ...args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((settle) => {
    execFile(process.execPath, [join(BENCH, name), ...args], (error, stdout, stderr) =>
      settle({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

interface Finished {
  readonly id: string;
  readonly met?: boolean;
  readonly ratio?: { readonly median: number; readonly min: number; readonly max: number; readonly n: number };
}

interface RowInProgress {
  add(figures: Readonly<Record<string, number>>): void;
  skip(name: string, reason: string): void;
  finish(): Finished;
}

/** A row as a family makes it: podfs against ext4, the target being at most six times as long. */
async function tarRow(...rounds: readonly (readonly [ours: number, native: number])[]): Promise<Finished> {
  const path = join(BENCH, "support/row.mjs");
  const { Row } = (await import(path)) as { Row: new (description: object) => RowInProgress };
  const row = new Row({
    ...{ id: "tar-x", group: "small files", title: "tar x", unit: "s", better: "lower", conditions: "warm" },
    ...{ yardstick: "ext4", target: { of: "ratio", atMost: 6 } },
  });
  for (const [podfs, ext4] of rounds) row.add({ podfs, ext4 });
  row.skip("rclone", "not installed");
  return row.finish();
}

function resultFile(name: string, rows: readonly object[], overrides: object = {}): string {
  const path = join(directory, name);
  const machine = { cpu: "a processor", cores: 2, memoryBytes: 2 ** 34, kernel: "6.12", node: "v20.19.0" };
  const result = {
    ...{ formatVersion: 1, kind: "rows", startedAt: "2026-01-02T03:04:05Z", durationSeconds: 60, quick: false },
    ...{ commit: "abc1234", machine: { ...machine, system: "Debian", scratchFilesystem: "ext4" }, rows, failures: [] },
  };
  writeFileSync(path, JSON.stringify({ ...result, ...overrides }));
  return path;
}

describe("a row of results", () => {
  it("takes the ratio of each round by itself, and is judged by their median", async () => {
    const row = await tarRow([0.2, 0.1], [0.9, 0.1], [4, 1]);
    expect(row.ratio).toEqual({ median: 4, min: 2, max: 9, n: 3 });
    expect(row.met).toBe(true);
    expect((await tarRow([7, 1])).met).toBe(false);
  });
});

describe("the regression gate", () => {
  it("passes what is as it was, and what is worse within the tolerance", async () => {
    const baseline = resultFile("baseline.json", [await tarRow([4, 1])]);
    const { code, output } = await script("gate.mjs", resultFile("now.json", [await tarRow([4.7, 1])]), baseline);
    expect(output).toMatch(/ok +tar-x .*4\.70 × ext4, was 4\.00/);
    expect(code).toBe(0);
  });

  it("fails when a ratio is worse, and when a row has vanished", async () => {
    const baseline = resultFile("baseline.json", [await tarRow([4, 1])]);
    const worse = await script("gate.mjs", resultFile("worse.json", [await tarRow([5, 1])]), baseline);
    expect([worse.code, worse.output]).toEqual([1, expect.stringMatching(/WORSE tar-x .*tolerated at most 4\.80/)]);
    const gone = await script("gate.mjs", resultFile("gone.json", []), baseline);
    expect([gone.code, gone.output]).toEqual([1, expect.stringContaining("was not measured")]);
  });

  it("ignores absolute figures, rows that were skipped here, and rows that do not repeat", async () => {
    const unsteady = { ...(await tarRow([1, 1])), id: "unsteady", tolerance: null };
    const baseline = resultFile("baseline.json", [{ ...(await tarRow([4, 1])), family: "tar" }, unsteady]);
    const slower = await script("gate.mjs", resultFile("slower.json", [await tarRow([400, 100])]), baseline);
    expect(slower.code).toBe(0);
    const skipped = resultFile("skipped.json", [{ id: "tar", group: "", title: "", skipped: "there is no /dev/fuse" }]);
    const { code, output } = await script("gate.mjs", skipped, baseline);
    expect([code, output]).toEqual([0, expect.stringContaining("skipped: there is no /dev/fuse")]);
  });

  it("says in one line what cannot be compared", async () => {
    const full = resultFile("full.json", []);
    const quick = resultFile("quick.json", [], { quick: true });
    for (const args of [[quick, full], [full, join(directory, "absent.json")], [join(BENCH, "README.md"), full], []]) {
      const { code, output } = await script("gate.mjs", ...args);
      expect(code).toBe(2);
      expect(output).toMatch(/^gate: .+\n$/);
    }
  });
});

describe("the report", () => {
  it("shows targets met and missed, what is missing and why, and a plot for each group", async () => {
    const missed = { ...(await tarRow([9, 1])), id: "tar-x-2", title: "tar x | again" };
    const skipped = { id: "peers", group: "peers", title: "peers", skipped: "there is no /dev/fuse" };
    const rows = resultFile("rows.json", [await tarRow([4, 1]), missed, skipped]);
    const series = [{ label: "podfs", points: [[1000, 0.1], [10000, 0.2]] }]; // biome-ignore format: points
    const curve = {
      ...{ id: "files-create", group: "number of files", title: "creating", conditions: "", series },
      ...{ xLabel: "files", xUnit: "count", yLabel: "per file", unit: "s" },
    };
    const curves = resultFile("curves.json", [curve], { kind: "curves" });
    const options = [`--rows=${rows}`, `--curves=${curves}`, `--output=${directory}`];
    expect(await script("report.mjs", ...options)).toMatchObject({ code: 0 });
    const text = readFileSync(join(directory, "BENCHMARKS.md"), "utf8");
    expect(text).toContain("Targets: 1 of 2 met");
    expect(text).toMatch(/\| tar x \| 4\.00 s \| 1\.00 s \(ext4\) \| .*≤ 6 × ext4 \| ✓ met \|/);
    expect(text).toMatch(/tar x \\\| again .*missed/);
    expect(text).toContain("| peers | there is no /dev/fuse |");
    const plots = readdirSync(join(directory, "benchmarks"));
    for (const [, file] of text.matchAll(/\]\(benchmarks\/(.+?)\)/g)) expect(plots).toContain(file);
    expect(plots).toContain("files-create.svg");
  });
});

describe("the suite", () => {
  it("lists its families, and refuses ones that it does not have", async () => {
    expect((await script("run.mjs", "--list")).output).toMatch(/^data .*\n(.*\n)+peers /);
    expect((await script("curves.mjs", "--list")).output).toContain("threads");
    const unknown = await script("run.mjs", "--only=nothing");
    expect([unknown.code, unknown.output]).toEqual([2, expect.stringContaining("there is nothing called nothing")]);
  });

  it("reads how a watched process's event loop did, each time anew", async () => {
    const path = join(BENCH, "support/loop-reader.mjs");
    const { startIdleProcess } = (await import(path)) as {
      startIdleProcess(
        directory: string,
      ): Promise<{ reader: { read(): Promise<{ elapsedMs: number }> }; stop(): void }>;
    };
    const idle = await startIdleProcess(directory);
    try {
      for (let time = 0; time < 2; time++) expect((await idle.reader.read()).elapsedMs).toBeGreaterThan(0);
      expect(readdirSync(directory)).toEqual([]);
    } finally {
      idle.stop();
    }
  });

  it("counts the requests that go to a far store, and passes on what it answers", async () => {
    const server = createServer((request, answer) => answer.end(`${request.method} ${request.url}`));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const { port } = server.address() as AddressInfo;
    const proxy = execFile(process.execPath, [
      join(BENCH, "support/latency-proxy.mjs"),
      `http://127.0.0.1:${port}`,
      "1",
    ]);
    try {
      const line = await new Promise<string>((said) => proxy.stdout?.once("data", said));
      const { endpoint } = JSON.parse(line) as { endpoint: string };
      expect(await (await fetch(`${endpoint}/bucket/key`)).text()).toBe("GET /bucket/key");
      expect(await (await fetch(`${endpoint}/-/requests`)).json()).toEqual({ GET: 1 });
      expect(await (await fetch(`${endpoint}/-/requests`)).json()).toEqual({});
    } finally {
      proxy.kill();
      server.closeAllConnections();
      server.close();
    }
  });

  const obstacle = mountObstacle();
  it.skipIf(obstacle !== undefined)(
    `writes volumes that can be mounted${obstacle ? ` (${obstacle})` : ""}`,
    async () => {
      const machine = await PodfsMachine.create();
      try {
        const path = join(BENCH, "support/synthetic-volume.mjs");
        const { writeSyntheticVolume } = (await import(path)) as {
          writeSyntheticVolume(directory: string, files: number): Promise<void>;
        };
        const store = await machine.path("store");
        await writeSyntheticVolume(store, 1500);
        const mountpoint = await machine.path("workspace");
        await machine.mount(store, mountpoint);
        expect(Number(await shell(mountpoint, "find . -type f -size +0 | wc -l"))).toBe(1500);
        expect(Number(await shell(mountpoint, "find . -mindepth 1 -type d | wc -l"))).toBe(2);
      } finally {
        await machine.dispose();
      }
    },
  );
});
