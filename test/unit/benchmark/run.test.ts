import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type BenchmarkDirectory,
  BenchmarkError,
  type BenchmarkOptions,
  type BenchmarkProgress,
  directoryPlan,
  runBenchmark,
} from "../../../src/benchmark/index.js";
import { head } from "../../../src/benchmark/readings.js";
import type { Plan } from "../../../src/benchmark/site.js";

const OPTIONS: BenchmarkOptions = { sizeBytes: 1 << 20, files: 12, threads: 2, rounds: 2, stepMs: 10 };

/** Scripts know them. */
const MEASURED = [
  ...[
    "sequential-write",
    "sequential-write-fsync",
    "sequential-read",
    "sequential-read-parallel",
    "mmap-read",
    "random-read-4k",
  ],
  ...[
    "random-read-4k-parallel",
    "random-write-4k",
    "random-write-4k-parallel",
    "create-4k",
    "create-4k-parallel",
    "stat",
    "stat-parallel",
    "read-4k",
  ],
  ...[
    "read-4k-parallel",
    "delete",
    "delete-parallel",
    "list",
    "chmod",
    "symlink",
    "mkdir",
    "rmdir",
    "rename",
    "append-fsync-4k",
  ],
];

describe("a benchmark", () => {
  let directory: string;
  let notices: string[];
  let controller: AbortController;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-benchmark-"));
    notices = [];
    controller = new AbortController();
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function target(changes: Partial<BenchmarkDirectory> = {}): BenchmarkDirectory {
    return { name: "here", path: directory, kind: "ext4", details: "a disk", cold: "none", ...changes };
  }

  function run(
    targets: readonly BenchmarkDirectory[],
    groups: readonly Plan[],
    onProgress: (progress: BenchmarkProgress) => void = () => undefined,
  ) {
    const watch = { signal: controller.signal, onProgress, onNotice: (notice: string) => notices.push(notice) };
    return runBenchmark(targets, { groups, spaceBytes: 1 << 20 }, OPTIONS, watch);
  }

  test("of a directory has all figures, by one thread and by several, and leaves nothing", async () => {
    const { groups } = directoryPlan(OPTIONS);
    const steps: BenchmarkProgress[] = [];
    const result = await run([target(), target({ name: "again" })], groups, (progress) => steps.push(progress));
    expect(result.targets.map(({ name }) => name)).toEqual(["here", "again"]);
    expect(result.measurements.map(({ id }) => id)).toEqual(MEASURED);
    for (const { id, samples } of result.measurements) {
      expect(samples.map(({ target, round }) => `${target}.${round}`).toSorted(), id).toEqual([
        ...["0.0", "0.1", "1.0", "1.1"],
      ]);
      for (const { value } of samples) expect(value, id).toBeGreaterThan(0);
    }
    expect(readdirSync(directory)).toEqual([]);
    expect(steps.at(-1)?.step).toBe(steps.at(-1)?.steps);
    expect(notices).toEqual([]);
  });

  test("does each step for all directories, beginning with another one in each round", async () => {
    const order: string[] = [];
    const plan: Plan = (site) =>
      ["write", "read"].map((title) => ({
        title,
        run: async () => {
          order.push(`${site.target.name} ${title}`);
          return [{ of: head("some", title, title, "s"), value: 1 }];
        },
      }));
    const { measurements } = await run([target({ name: "a" }), target({ name: "b" })], [plan]);
    expect(order).toEqual([
      ...["a write", "b write", "a read", "b read"],
      ...["b write", "a write", "b read", "a read"],
    ]);
    expect(measurements.map(({ id, better }) => [id, better])).toEqual([
      ["write", "lower"],
      ["read", "lower"],
    ]);
  });

  test("goes on without what a filesystem does not know, and says so", async () => {
    const unknown = (code: string) =>
      new BenchmarkError("failed", code, { cause: Object.assign(new Error(code), { code }) });
    const plan =
      (code: string): Plan =>
      () => [{ title: "symlink", run: () => Promise.reject(unknown(code)) }];
    const { targets, measurements } = await run([target()], [plan("EOPNOTSUPP")]);
    expect(measurements).toEqual([]);
    expect(targets[0]?.details).toBe("a disk; no symlink (EOPNOTSUPP)");
    await expect(run([target()], [plan("ENOSPC")])).rejects.toThrow("ENOSPC");
    expect(readdirSync(directory)).toEqual([]);
  });

  test("drops caches by the filesystem's own means where it has some", async () => {
    const dropped: string[] = [];
    const drop = async (paths: readonly string[]): Promise<boolean> => {
      dropped.push(...paths.map((path) => path.slice(path.lastIndexOf("/") + 1)));
      return true;
    };
    const { measurements } = await run([target({ cold: { drop } })], directoryPlan(OPTIONS).groups);
    expect(dropped).toEqual([...["large", "tree-1", "tree-2"], ...["large", "tree-1", "tree-2"]]);
    expect(measurements.filter(({ id }) => id.includes("cold"))).toHaveLength(3);
  });

  test("that is interrupted ends at once and leaves nothing", async () => {
    const reason = new BenchmarkError("interrupted", "enough");
    const forever: Plan = (site) => [
      {
        title: "endless",
        run: async () => {
          setTimeout(() => controller.abort(reason), 50);
          await site.runToEnd({ loop: "append-sync", path: site.path("file"), blockSize: 4096 });
          return [];
        },
      },
    ];
    await expect(run([target()], [forever])).rejects.toBe(reason);
    expect(readdirSync(directory)).toEqual([]);
  });

  test("says what an earlier one left", async () => {
    writeFileSync(join(directory, ".podfs-bench-abc123"), "");
    await run([target(), target()], []);
    expect(notices).toEqual([expect.stringContaining(`rm -r ${directory}/.podfs-bench-abc123`)]);
  });

  test.each([
    ["/no/such/directory", "bad-directory", /does not exist/],
    ["/etc/hostname", "bad-directory", /is not a directory/],
  ])("of %s is refused", async (path, kind, message) => {
    const refused = run([target(), target({ path })], []);
    await expect(refused).rejects.toMatchObject({ kind, message: expect.stringMatching(message) });
    expect(readdirSync(directory)).toEqual([]);
  });

  test("that needs more room than there is is refused, counting all directories of a disk", async () => {
    const watch = { signal: controller.signal, onProgress: () => undefined, onNotice: () => undefined };
    const refused = runBenchmark([target(), target()], { groups: [], spaceBytes: 2 ** 60 }, OPTIONS, watch);
    await expect(refused).rejects.toMatchObject({
      kind: "no-space",
      message: expect.stringMatching(/ 2048 PiB are needed/),
    });
    expect(readdirSync(directory)).toEqual([]);
  });
});
