import type { Latencies } from "../result.js";

/** Latency below which `percentile` percent of the operations stayed: the upper bound of the bucket it is in. */
export function percentileNs({ count, maxNs, buckets }: Latencies, percentile: number): number {
  // 0.99 × 100 is 99.00000000000001 in floating point.
  const rank = Math.max(1, Math.ceil((percentile / 100) * count - 1e-9));
  let seen = 0;
  for (const [upperNs, inBucket] of buckets) {
    seen += inBucket;
    if (seen >= rank) return Math.min(upperNs, maxNs);
  }
  return maxNs;
}

/** All operations of several rounds together; undefined without any. */
export function mergeLatencies(parts: readonly Latencies[]): Latencies | undefined {
  const filled = parts.filter(({ count }) => count > 0);
  if (filled.length === 0) return undefined;
  const counts = new Map<number, number>();
  for (const { buckets } of filled) {
    for (const [upperNs, count] of buckets) counts.set(upperNs, (counts.get(upperNs) ?? 0) + count);
  }
  const count = filled.reduce((sum, part) => sum + part.count, 0);
  return {
    count,
    minNs: Math.min(...filled.map(({ minNs }) => minNs)),
    meanNs: filled.reduce((sum, part) => sum + part.meanNs * (part.count / count), 0),
    maxNs: Math.max(...filled.map(({ maxNs }) => maxNs)),
    buckets: [...counts].sort(([one], [other]) => one - other),
  };
}
