import type { Latencies } from "../result.js";
import { formatValue } from "./format-value.js";
import { percentileNs } from "./latencies.js";
import { drawCurves, type Plot, plotArea } from "./plot.js";
import { createScale, type Scale } from "./scales.js";
import { type ChartFrame, renderChart } from "./svg.js";

export interface LatencySeries {
  readonly label: string;
  readonly latency: Latencies;
  /** Which colour; else its place. */
  readonly series?: number;
}

export interface LatencyChart extends ChartFrame {
  readonly series: readonly LatencySeries[];
}

const NS = 1e-9;
const TICK_PERCENTILES = [50, 90, 95, 99, 99.9, 99.99, 99.999];
const MARKED_PERCENTILES = [50, 95, 99];

/**
 * Latency over percentiles, each nine as wide as the one before: what nearly always happens is on the left, what happens
 * once in a thousand times on the right (as Gil Tene's HdrHistogram plots it, http://hdrhistogram.org). Dots are p50,
 * p95 and p99.
 */
export function latencyChart(chart: LatencyChart): string {
  const series = chart.series.filter(({ latency }) => latency.count > 0);
  const area = plotArea(chart, series);
  const { left, right, top, bottom } = area;
  const latencies = series.map(({ latency }) => latency);
  const domain: [number, number] =
    latencies.length === 0
      ? [1e-6, 1]
      : [Math.min(...latencies.map((one) => lowestNs(one))) * NS, Math.max(...latencies.map((one) => one.maxNs)) * NS];
  const plot: Plot = {
    ...area,
    x: percentileScale(Math.max(2, ...latencies.map(({ count }) => count)), [left, right]),
    y: createScale({ kind: "log", unit: "s", domain, range: [bottom, top], tickCount: 6 }),
    xLabel: "percentile",
    yLabel: "latency, log scale",
  };
  const curves = series.map(({ label, latency, ...rest }) => ({
    ...{ label, ...rest, points: curveOf(latency) },
    marked: MARKED_PERCENTILES.map((percentile) => [percentile, percentileNs(latency, percentile) * NS] as const),
  }));
  return renderChart(chart, {
    height: area.height,
    description: series.map(describe).join("; "),
    body: drawCurves(plot, curves),
  });
}

function lowestNs({ minNs, buckets }: Latencies): number {
  return Math.max(1, minNs > 0 ? minNs : (buckets[0]?.[0] ?? 1));
}

/** In steps, bucket by bucket: so percentiles, which are bounds of buckets, lie on it. */
function curveOf(latency: Latencies): [percentile: number, seconds: number][] {
  const points: [number, number][] = [[0, lowestNs(latency) * NS]];
  let seen = 0;
  for (const [upperNs, count] of latency.buckets) {
    const seconds = Math.min(upperNs, latency.maxNs) * NS;
    points.push([(100 * seen) / latency.count, seconds]);
    seen += count;
    points.push([(100 * seen) / latency.count, seconds]);
  }
  return points;
}

/** The slowest of n operations is drawn where 1 - 1/n is: at 100 % the scale has no end. */
function percentileScale(countMax: number, [from, to]: readonly [number, number]): Scale {
  const end = Math.log10(countMax);
  const at = (percentile: number): number => {
    const nines = Math.min(end, -Math.log10(Math.max(1e-12, 1 - percentile / 100)));
    return from + ((to - from) * nines) / end;
  };
  const ticks = TICK_PERCENTILES.filter((percentile) => 1 - percentile / 100 >= 1 / countMax);
  // 90 and 95 are close to each other where many nines must fit.
  const shown = end > 3.5 ? ticks.filter((percentile) => percentile !== 95) : ticks;
  return { at, ticks: shown.map((value) => ({ value, label: `p${value}` })) };
}

function describe({ label, latency }: LatencySeries): string {
  const marks = MARKED_PERCENTILES.map((percentile) => {
    return `p${percentile} ${formatValue(percentileNs(latency, percentile) * NS, "s")}`;
  });
  return `${label}: ${marks.join(", ")}`;
}
