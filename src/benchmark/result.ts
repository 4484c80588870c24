/**
 * What `podfs bench` measured, as it is written by `--json` and read by the reports. Only numbers and names: everything
 * a person reads is made from it.
 */
export interface BenchmarkResult {
  readonly formatVersion: 1;
  /** Of podfs. */
  readonly version: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationSeconds: number;
  readonly machine: Machine;
  /** What is compared; the first is the yardstick of all ratios. */
  readonly targets: readonly Target[];
  readonly measurements: readonly Measurement[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
}

/** A directory, or a backend. */
export interface Target {
  /** As the user wrote it. */
  readonly name: string;
  /** Type of its filesystem ("ext4", "nfs4", "fuse.podfs"), or the scheme of a backend's URL. */
  readonly kind: string;
  /** One line more, for people: "podfs 0.1.0, passthrough yes, cache 12 of 200 GiB". */
  readonly details: string;
}

export type Unit = "B/s" | "operations/s" | "samples/s" | "s" | "requests" | "B";

/** One kind of work, done by every target in turn, round by round. */
export interface Measurement {
  /** Stable, for scripts: "random-read-4k". */
  readonly id: string;
  /** What belongs together in a table or a plot: "large file", "small files", "latency", "data loader". */
  readonly group: string;
  /** For people: "random read, 4 KiB". */
  readonly title: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  /** Threads or processes that worked at once. */
  readonly threads: number;
  readonly samples: readonly Sample[];
}

export interface Sample {
  /** Index in {@link BenchmarkResult.targets}. */
  readonly target: number;
  /** From 0. Samples of one round were taken one after the other, and only they are compared. */
  readonly round: number;
  readonly value: number;
  /** Of each operation, where one takes long enough to matter. */
  readonly latency?: Latencies;
}

/** How long operations took. Buckets grow by a constant factor, so that a percentile is exact to that factor. */
export interface Latencies {
  readonly count: number;
  readonly minNs: number;
  readonly meanNs: number;
  readonly maxNs: number;
  /** Upper bound in nanoseconds and count of each bucket that is not empty, ascending. */
  readonly buckets: readonly (readonly [upperNs: number, count: number])[];
}
