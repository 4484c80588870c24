import type { Unit } from "../result.js";

/** What an axis or a bar can be of: what is measured, a ratio, or a plain number. */
export type ChartUnit = Unit | "ratio" | "count" | "percent";

/** How values of a unit are written: in steps of `factor`, the largest that leaves at least 1 before the point. */
interface Step {
  readonly factor: number;
  readonly suffix: string;
}

const KIB = 1024;
const PLAIN: Step = { factor: 1, suffix: "" };
const DECIMAL: readonly Step[] = [PLAIN, { factor: 1e3, suffix: " k" }, { factor: 1e6, suffix: " M" }];
const BINARY: readonly Step[] = ["B", "KiB", "MiB", "GiB", "TiB"].map((suffix, power) => ({
  factor: KIB ** power,
  suffix: ` ${suffix}`,
}));
const TIMES: readonly Step[] = [
  { factor: 1e-9, suffix: " ns" },
  { factor: 1e-6, suffix: " µs" },
  { factor: 1e-3, suffix: " ms" },
  { factor: 1, suffix: " s" },
];

/** The step in which a value, or an axis up to it, is best read. */
export function stepFor(value: number, unit: ChartUnit): Step {
  const steps = stepsOf(unit);
  // 0.9995 would be written as 1.00 of the next step.
  return steps.findLast(({ factor }) => Math.abs(value) >= factor * 0.9995) ?? steps[0] ?? PLAIN;
}

/** A value for people, to three digits: `1.23 GiB/s`, `48.1 k/s`, `870 µs`, `0.93×`. */
export function formatValue(value: number, unit: ChartUnit): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return unit === "ratio" ? "0×" : unit === "percent" ? "0 %" : "0";
  const { factor, suffix } = stepFor(value, unit);
  return threeDigits(value / factor) + suffix;
}

/** The label of a tick that is `value` units of a step: a round number, so without trailing digits. */
export function formatTick(value: number, { factor, suffix }: Step): string {
  return value === 0 ? "0" : Number((value / factor).toPrecision(6)).toLocaleString("en-US") + suffix;
}

function stepsOf(unit: ChartUnit): readonly Step[] {
  switch (unit) {
    case "B":
      return BINARY;
    case "B/s":
      return BINARY.map(({ factor, suffix }) => ({ factor, suffix: `${suffix}/s` }));
    case "operations/s":
    case "samples/s":
      return DECIMAL.map(({ factor, suffix }) => ({ factor, suffix: `${suffix}/s` }));
    case "requests":
    case "count":
      return DECIMAL;
    case "s":
      return TIMES;
    case "ratio":
      return [{ factor: 1, suffix: "×" }];
    case "percent":
      return [{ factor: 1, suffix: " %" }];
  }
}

function threeDigits(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 99.95) return Math.round(value).toLocaleString("en-US");
  if (magnitude >= 9.995) return value.toFixed(1);
  // Below 1 only what has no smaller step: ratios, mostly.
  return magnitude >= 0.0995 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}
