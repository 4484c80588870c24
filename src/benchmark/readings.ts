import type { LoopResult } from "../native/index.js";
import type { Unit } from "./result.js";
import type { MeasurementHead, Reading, Site } from "./site.js";

/** One thread, and as many as there may be. */
export function threadCounts({ options }: Site): readonly number[] {
  return options.threads === 1 ? [1] : [1, options.threads];
}

/**
 * What is measured.
 * @param id with "-parallel" added for several threads: how many these are depends on the machine, and scripts compare
 * by id.
 */
export function head(group: string, id: string, title: string, unit: Unit, threads = 1): MeasurementHead {
  const better = unit === "s" || unit === "requests" ? "lower" : "higher";
  return { id: threads === 1 ? id : `${id}-parallel`, group, title, unit, better, threads };
}

/** In the unit of `of`: bytes, or operations (samples) and the latency of each, per second. */
export function reading(of: MeasurementHead, result: LoopResult): Reading {
  const { amount, operations, seconds, latencies } = result;
  if (of.unit === "B/s") return { of, value: amount / seconds };
  return { of, value: operations / seconds, latency: latencies };
}
