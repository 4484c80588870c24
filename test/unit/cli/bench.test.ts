import { describe, expect, test } from "vitest";
import type { BenchmarkResult, Measurement } from "../../../src/benchmark/index.js";
import { benchmarkOptions, benchSubject } from "../../../src/cli/bench/flags.js";
import { renderResult } from "../../../src/cli/bench/render-result.js";

const LATENCY = {
  count: 100,
  minNs: 900,
  meanNs: 1500,
  maxNs: 250_000,
  buckets: [
    [1000, 60],
    [2000, 36],
    [250_000, 4],
  ] as const,
};

function measurement(changes: Partial<Measurement>): Measurement {
  const head = { id: "read", group: "large file", title: "read", unit: "B/s", better: "higher", threads: 1 } as const;
  return { ...head, samples: [], ...changes };
}

function result(targets: number, measurements: readonly Measurement[]): BenchmarkResult {
  const names = ["/workspace", "/mnt/nfs"].slice(0, targets);
  return {
    ...{ formatVersion: 1, version: "0.1.0", startedAt: "2026-01-01T00:00:00.000Z", durationSeconds: 61 },
    machine: { cpu: "some", cores: 8, memoryBytes: 2 ** 34, kernel: "6.9.1-generic", node: "20.19.0" },
    targets: names.map((name) => ({ name, kind: "nfs4", details: "server:/export on /mnt" })),
    measurements,
  };
}

describe("a result", () => {
  test("of one directory is a table of figures and percentiles", () => {
    const read = measurement({ samples: [{ target: 0, round: 0, value: 2 ** 30 }] });
    const stat = measurement({
      ...{ id: "stat", group: "small files", title: "stat", unit: "operations/s", threads: 4 },
      samples: [{ target: 0, round: 0, value: 1234, latency: LATENCY }],
    });
    expect(renderResult(result(1, [read, stat]), 80)).toMatchInlineSnapshot(`
      "podfs 0.1.0; Linux 6.9.1; 8 cores, 16 GiB; took 1 min 1 s

      /workspace: nfs4, server:/export on /mnt

      large file       result      p50      p95     p99
        read       1.00 GiB/s

      small files      result      p50      p95     p99
        stat ×4      1.23 k/s  1.00 µs  2.00 µs  250 µs

      ×2: by two threads, or processes, at once.
      Reads are warm (in the page cache) unless they say cold. Writes end when
      write(2) returns, unless they say fsync.
      "
    `);
  });

  test("of several has ratios and spreads, and a dash where one could not", () => {
    const samples = [1, 2, 3].flatMap((value, round) => [
      { target: 0, round, value: value * 2 ** 20 },
      { target: 1, round, value: value * 2 ** 21 },
    ]);
    const cold = measurement({ id: "cold", title: "read, cold", samples: [{ target: 0, round: 0, value: 2 ** 20 }] });
    expect(renderResult(result(2, [measurement({ samples }), cold]), 80)).toMatchInlineSnapshot(`
      "podfs 0.1.0; Linux 6.9.1; 8 cores, 16 GiB; took 1 min 1 s

      A  /workspace: nfs4, server:/export on /mnt
      B  /mnt/nfs: nfs4, server:/export on /mnt

      large file           result   to A     ±
        read        A  2.00 MiB/s         50 %
                    B  4.00 MiB/s  2.00×  50 %
        read, cold  A  1.00 MiB/s
                    B           –

      Medians of 3 rounds; ±: half of what lies between the lowest and the highest.
      to A: divided by A's figure of the same round.
      ×2: by two threads, or processes, at once.
      Reads are warm (in the page cache) unless they say cold. Writes end when
      write(2) returns, unless they say fsync.
      "
    `);
  });

  test.each([60, 80, 120])("leaves columns out rather than be wider than %d", (width) => {
    const samples = [0, 1].flatMap((target) =>
      [1, 2].map((round) => ({ target, round, value: 1e6 * round, latency: LATENCY })),
    );
    const long = measurement({ title: "random write, 4 KiB", unit: "operations/s", threads: 64, samples });
    const longest = Math.max(
      ...renderResult(result(2, [long]), width)
        .split("\n")
        .map((line) => line.length),
    );
    expect(longest).toBeLessThanOrEqual(width);
  });
});

describe("what is asked for", () => {
  test("has defaults that depend on what is measured", () => {
    expect(benchmarkOptions({})).toMatchObject({ sizeBytes: 2 ** 30, files: 2000, rounds: 3, stepMs: 1000 });
    expect(benchmarkOptions({ quick: true })).toMatchObject({ sizeBytes: 2 ** 28, files: 1000, rounds: 1 });
    expect(benchmarkOptions({ dataLoader: "images" })).toMatchObject({ files: 100_000, rounds: 1 });
    // 102 KiB each, on average.
    expect(benchmarkOptions({ dataLoader: "images", size: "102M" }).files).toBe(1024);
    expect(benchmarkOptions({ dataLoader: "images", size: "102M", files: "7" }).files).toBe(7);
  });

  test("counts sizes in whole MiB", () => {
    expect(benchmarkOptions({ size: "1500K" }).sizeBytes).toBe(2 ** 20);
    expect(() => benchmarkOptions({ size: "1K" })).toThrow(/--size: 1K is too little/);
  });

  test("is directories, the first the yardstick, or a backend", () => {
    expect(benchSubject("/a", { compare: ["/b"] })).toEqual({ type: "directories", directories: ["/a", "/b"] });
    expect(benchSubject(undefined, { backend: "/store" })).toEqual({ type: "backend", url: "/store" });
    expect(() => benchSubject("/a", { backend: "/store" })).toThrow(/cannot be measured at once/);
  });
});
