import { systemClock } from "../../base/index.js";
import type { Latencies } from "../result.js";
import { LatencyHistogram } from "./latency-histogram.js";

export interface TimedRequests {
  /** How many run at once. */
  readonly parallel: number;
  /** None is begun after this many, or this much time, whichever is first; one of each runs at least. */
  readonly countMax: number;
  readonly timeMs: number;
  readonly signal: AbortSignal;
  /** @param index from 0: how many were begun before. */
  request(index: number): Promise<unknown>;
}

export interface TimedOutcome {
  readonly count: number;
  readonly seconds: number;
  readonly latency: Latencies | undefined;
}

const NS_PER_MS = 1e6;

/** Keeps a number of requests under way until time or work is used up. @throws what the first that failed throws. */
export async function timeRequests(options: TimedRequests): Promise<TimedOutcome> {
  const { parallel, countMax, timeMs, signal, request } = options;
  const histogram = new LatencyHistogram();
  const startMs = systemClock.monotonicMs();
  let begun = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    do {
      signal.throwIfAborted();
      const beganMs = systemClock.monotonicMs();
      await request(begun++);
      histogram.add((systemClock.monotonicMs() - beganMs) * NS_PER_MS);
    } while (!failed && begun < countMax && systemClock.monotonicMs() - startMs < timeMs);
  };
  const workers = Array.from({ length: Math.min(parallel, countMax) }, async () => {
    try {
      await worker();
    } catch (error) {
      failed = true;
      throw error;
    }
  });
  // All of them, or a request would still be under way while its objects are being removed.
  for (const outcome of await Promise.allSettled(workers)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
  const latency = histogram.latencies();
  return { count: latency?.count ?? 0, seconds: (systemClock.monotonicMs() - startMs) / 1000, latency };
}
