import type { Latencies } from "../result.js";

/** Percentiles are exact to 4 %. */
const BUCKETS_PER_DOUBLING = 16;

/** Counts how long operations took. */
export class LatencyHistogram {
  readonly #counts = new Map<number, number>();
  #count = 0;
  #sumNs = 0;
  #minNs = Number.POSITIVE_INFINITY;
  #maxNs = 0;

  add(ns: number): void {
    const bucket = Math.ceil(Math.log2(Math.max(1, ns)) * BUCKETS_PER_DOUBLING);
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
    this.#count++;
    this.#sumNs += ns;
    this.#minNs = Math.min(this.#minNs, ns);
    this.#maxNs = Math.max(this.#maxNs, ns);
  }

  /** @returns undefined when nothing was counted. */
  latencies(): Latencies | undefined {
    if (this.#count === 0) return undefined;
    const buckets = [...this.#counts].sort(([one], [other]) => one - other);
    return {
      count: this.#count,
      minNs: this.#minNs,
      meanNs: this.#sumNs / this.#count,
      maxNs: this.#maxNs,
      buckets: buckets.map(([bucket, count]) => [Math.ceil(2 ** (bucket / BUCKETS_PER_DOUBLING)), count]),
    };
  }
}
