import { scaleLinear, scaleLog } from "d3-scale";
import { type ChartUnit, formatTick, stepFor } from "./format-value.js";

export interface Tick {
  readonly value: number;
  readonly label: string;
}

/** An axis: where a value is, in pixels, and what is written beside it. */
export interface Scale {
  at(value: number): number;
  readonly ticks: readonly Tick[];
}

export interface ScaleOptions {
  readonly kind: "linear" | "log";
  readonly unit: ChartUnit;
  /** Smallest and largest value that must fit. A linear scale begins at 0 all the same: lengths are compared. */
  readonly domain: readonly [min: number, max: number];
  /** Pixels of the two ends. */
  readonly range: readonly [from: number, to: number];
  /** About how many ticks there is room for. */
  readonly tickCount: number;
}

export function createScale(options: ScaleOptions): Scale {
  return options.kind === "log" ? logScale(options) : linearScale(options);
}

/** Ticks are round in the unit they are written in: 512 MiB/s, not 500,000,000 B/s. */
function linearScale({ unit, domain: [min, max], range, tickCount }: ScaleOptions): Scale {
  const end = max > 0 ? max : 1;
  const step = stepFor(end, unit);
  const scale = scaleLinear()
    .domain([Math.min(0, min) / step.factor, end / step.factor])
    .nice(tickCount)
    .range(range);
  const ticks = scale.ticks(tickCount).map((value) => ({
    value: value * step.factor,
    label: formatTick(value * step.factor, step),
  }));
  return { at: (value) => scale(value / step.factor), ticks };
}

/** Bytes grow by powers of two, everything else by powers of ten. */
function logScale({ unit, domain: [min, max], range, tickCount }: ScaleOptions): Scale {
  const low = min > 0 ? min : max > 0 ? max / 1000 : 1;
  const high = max > low ? max : low * 10;
  const isBinary = unit === "B" || unit === "B/s";
  const scale = scaleLog()
    .base(isBinary ? 2 : 10)
    .domain([low, high])
    .range(range);
  const ticks = logTicks(low, high, isBinary ? 2 : 10, tickCount).map((value) => ({
    value,
    label: formatTick(value, stepFor(value, unit)),
  }));
  return { at: (value) => scale(Math.max(value, low)), ticks };
}

/** Powers of the base, thinned out until they fit; with few decades to show, 2 and 5 times those as well. */
function logTicks(low: number, high: number, base: number, countMax: number): number[] {
  const exponentOf = (value: number): number => Math.log(value) / Math.log(base);
  const first = Math.ceil(exponentOf(low) - 1e-9);
  const last = Math.floor(exponentOf(high) + 1e-9);
  const powers = Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  if (base === 10 && powers.length <= 2) {
    const fine = [first - 1, ...powers].flatMap((exponent) => [1, 2, 5].map((digit) => digit * 10 ** exponent));
    return fine.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  }
  const stride = Math.max(1, Math.ceil(powers.length / Math.max(2, countMax)));
  return powers.filter((_, index) => index % stride === 0).map((exponent) => base ** exponent);
}
