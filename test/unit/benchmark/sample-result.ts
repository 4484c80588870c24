import type { BenchmarkResult, Latencies, Measurement, Sample, Target } from "../../../src/benchmark/result.js";
import { SeededRandom } from "../../support/random.js";

const TARGETS: readonly Target[] = [
  { name: "/workspace", kind: "fuse.podfs", details: "podfs 0.1.0, passthrough yes, cache 12 of 200 GiB" },
  { name: "/root/scratch", kind: "ext4", details: "the container's own disk, 412 GiB free" },
  { name: "/mnt/network-volume/team-a/scratch", kind: "nfs4", details: "10.4.0.7:/export, vers=4.2, rsize=1 MiB" },
  { name: "/mnt/bucket", kind: "fuse.rclone", details: "rclone v1.68, --vfs-cache-mode full" },
];

/** How good each target is, in turn, and how its rounds scatter. */
const SPEEDS = [1, 1.06, 0.11, 0.19];

type Shape = Omit<Measurement, "samples" | "threads"> & {
  readonly value: number;
  readonly threads?: number;
  readonly latencyNs?: number;
};

const SHAPES: readonly Shape[] = [
  {
    id: "write-sequential",
    group: "large file",
    title: "sequential write",
    unit: "B/s",
    better: "higher",
    value: 1.9e9,
  },
  { id: "read-sequential", group: "large file", title: "sequential read", unit: "B/s", better: "higher", value: 6.1e9 },
  {
    ...{ id: "random-read-4k", group: "large file", title: "random read, 4 KiB", unit: "operations/s" },
    ...{ better: "higher", value: 412_000, latencyNs: 2300 },
  },
  {
    ...{ id: "create", group: "small files", title: "create, 4–200 KB", unit: "operations/s", better: "higher" },
    ...{ value: 8300, threads: 8, latencyNs: 92_000 },
  },
  { id: "stat", group: "small files", title: "stat", unit: "operations/s", better: "higher", value: 310_000 },
  { id: "fsync", group: "latency", title: "fsync, 4 KiB", unit: "s", better: "lower", value: 0.0041, latencyNs: 4.1e6 },
  {
    ...{ id: "epoch-1", group: "data loader", title: "first epoch, shuffled", unit: "samples/s", better: "higher" },
    ...{ value: 5210, threads: 16 },
  },
];

/** Of as many targets as asked for (at most four): figures as they look on real machines, always the same. */
export function sampleResult(targetCount: number): BenchmarkResult {
  const seeded = new SeededRandom(7);
  const random = (): number => seeded.next();
  const around = (value: number): number => value * (0.92 + 0.16 * random());
  const targets = TARGETS.slice(0, targetCount);
  return {
    formatVersion: 1,
    version: "0.1.0",
    startedAt: "2026-11-21T14:02:11.120Z",
    durationSeconds: 97.3,
    machine: { cpu: "AMD EPYC 9554", cores: 32, memoryBytes: 251e9, kernel: "6.8.0-48-generic", node: "20.19.4" },
    targets,
    measurements: SHAPES.map(({ value, latencyNs, threads = 1, ...shape }) => {
      const samples: Sample[] = [];
      for (let round = 0; round < 5; round++) {
        for (let target = 0; target < targets.length; target++) {
          const speed = (SPEEDS[target] ?? 1) ** (shape.better === "higher" ? 1 : -1);
          const latency =
            latencyNs === undefined ? {} : { latency: latencies(latencyNs / (SPEEDS[target] ?? 1), random) };
          samples.push({ target, round, value: around(value * speed), ...latency });
        }
      }
      return { ...shape, threads, samples };
    }),
  };
}

/** A thousand operations, most of them near the median, some far from it. */
function latencies(medianNs: number, random: () => number): Latencies {
  const factor = 2 ** (1 / 8);
  const counts = new Map<number, number>();
  const all = Array.from({ length: 1000 }, () => {
    const tail = random() < 0.02 ? 8 * random() : 0;
    return medianNs * Math.exp(0.25 * (random() + random() + random() - 1.5) + tail * 0.4);
  });
  for (const ns of all) {
    const upperNs = Math.ceil(factor ** Math.ceil(Math.log(ns) / Math.log(factor)));
    counts.set(upperNs, (counts.get(upperNs) ?? 0) + 1);
  }
  return {
    count: all.length,
    minNs: Math.min(...all),
    meanNs: all.reduce((sum, ns) => sum + ns, 0) / all.length,
    maxNs: Math.max(...all),
    buckets: [...counts].sort(([one], [other]) => one - other),
  };
}
