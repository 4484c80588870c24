import type { BenchmarkResult, Latencies, Measurement, Sample } from "../result.js";
import { mergeLatencies } from "./latencies.js";

/** The middle of several rounds' values, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** What one target reached in one measurement. */
export interface TargetSummary {
  readonly value: Spread;
  /** Value over the first target's value of the same round; undefined for the first itself. */
  readonly ratio?: Spread;
  /** How it compares with the first. "same" when the rounds do not agree which is better. */
  readonly verdict: "better" | "worse" | "same";
  /** Of all rounds together. */
  readonly latency?: Latencies;
}

export interface MeasurementSummary {
  readonly measurement: Measurement;
  /** By target; undefined for one that could not do this. */
  readonly targets: readonly (TargetSummary | undefined)[];
}

/** Less than this is not a difference, even if every round agrees. */
const NOTICEABLE = 0.02;

/** Medians, spreads and ratios of every measurement: what the table, the charts and the page show. */
export function summarize({ measurements, targets }: BenchmarkResult): MeasurementSummary[] {
  return measurements.map((measurement) => {
    const yardstick = new Map(samplesOf(measurement, 0).map(({ round, value }) => [round, value]));
    return { measurement, targets: targets.map((_, index) => summarizeTarget(measurement, index, yardstick)) };
  });
}

function summarizeTarget(
  measurement: Measurement,
  target: number,
  yardstick: ReadonlyMap<number, number>,
): TargetSummary | undefined {
  const samples = samplesOf(measurement, target);
  const value = spreadOf(samples.map((sample) => sample.value));
  if (value === undefined) return undefined;
  const ratio = target === 0 ? undefined : ratioOf(samples, yardstick);
  const latency = mergeLatencies(samples.flatMap((sample) => sample.latency ?? []));
  return {
    value,
    ...(ratio !== undefined && { ratio }),
    verdict: verdictOf(ratio, measurement.better),
    ...(latency !== undefined && { latency }),
  };
}

/** Round by round: what disturbed the machine in one of them disturbed both targets. */
function ratioOf(samples: readonly Sample[], yardstick: ReadonlyMap<number, number>): Spread | undefined {
  const ratios = samples.flatMap(({ round, value }) => {
    const base = yardstick.get(round);
    return base === undefined || base === 0 ? [] : [value / base];
  });
  return spreadOf(ratios);
}

function verdictOf(ratio: Spread | undefined, better: Measurement["better"]): TargetSummary["verdict"] {
  if (ratio === undefined || (ratio.low <= 1 && ratio.high >= 1)) return "same";
  if (Math.abs(ratio.median - 1) < NOTICEABLE) return "same";
  return ratio.median > 1 === (better === "higher") ? "better" : "worse";
}

function samplesOf({ samples }: Measurement, target: number): Sample[] {
  return samples.filter((sample) => sample.target === target && Number.isFinite(sample.value));
}

/** Undefined without values. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((one, other) => one - other);
  const [low, high] = [sorted[0], sorted.at(-1)];
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined || below === undefined || above === undefined) return undefined;
  return { median: (below + above) / 2, low, high };
}

/** Keeps together what shares a key, in the order in which keys first appear. */
export function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
