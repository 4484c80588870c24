import { type ChartUnit, formatValue } from "./format-value.js";
import { drawCurves, type Plot, plotArea } from "./plot.js";
import { createScale } from "./scales.js";
import { type ChartFrame, renderChart } from "./svg.js";

export interface LineAxis {
  /** What is along it; the unit's name is on the ticks. */
  readonly label: string;
  readonly scale: "log" | "linear";
  readonly unit?: ChartUnit;
}

export interface LineSeries {
  readonly label: string;
  /** In order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart extends ChartFrame {
  readonly x: LineAxis;
  readonly y: LineAxis;
  readonly series: readonly LineSeries[];
}

/** Curves over a log or linear axis, each with its name at its end. */
export function lineChart(chart: LineChart): string {
  const { x, y, series } = chart;
  const points = series.flatMap((one) => one.points).filter((point) => point.every(Number.isFinite));
  const area = plotArea(chart, series);
  const { left, right, top, bottom } = area;
  const plot: Plot = {
    ...area,
    x: createScale({
      ...{ kind: x.scale, unit: x.unit ?? "count", range: [left, right] },
      domain: extent(points.map((point) => point[0])),
      tickCount: (right - left) / 70,
    }),
    y: createScale({
      ...{ kind: y.scale, unit: y.unit ?? "count", range: [bottom, top] },
      domain: extent(points.map((point) => point[1])),
      tickCount: (bottom - top) / 45,
    }),
    xLabel: x.label,
    yLabel: y.label,
  };
  return renderChart(chart, {
    height: area.height,
    description: series.map((one) => describe(one, y.unit ?? "count")).join("; "),
    body: drawCurves(
      plot,
      series.map((one) => {
        const known = one.points.filter((point) => point.every(Number.isFinite));
        return { label: one.label, points: known, marked: known };
      }),
    ),
  });
}

function extent(values: readonly number[]): [number, number] {
  return values.length === 0 ? [0, 1] : [Math.min(...values), Math.max(...values)];
}

function describe({ label, points }: LineSeries, unit: ChartUnit): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return `${label}: nothing`;
  return `${label}: from ${formatValue(first[1], unit)} to ${formatValue(last[1], unit)}`;
}
