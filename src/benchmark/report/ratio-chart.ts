import { type ScaleLogarithmic, scaleLog } from "d3-scale";
import { formatValue } from "./format-value.js";
import type { Spread } from "./summary.js";
import {
  type ChartFrame,
  element,
  escapeMarkup,
  HEAD_HEIGHT,
  line,
  MARGIN,
  renderChart,
  shorten,
  text,
  textWidth,
  WIDTH_DEFAULT,
} from "./svg.js";
import { seriesClass } from "./theme.js";

export interface RatioMark {
  readonly label: string;
  readonly ratio: Spread;
  /** Which colour. */
  readonly series: number;
}

export interface RatioChart extends ChartFrame {
  readonly rows: readonly { readonly label: string; readonly marks: readonly RatioMark[] }[];
  /** What 1× is. */
  readonly yardstick: string;
}

/** Mantissas of ticks, for axes that reach so far from 1 at most. */
const TICK_MANTISSAS = [
  { reachMax: 2.5, mantissas: [1, 1.2, 1.5, 2, 5, 6, 7, 8, 9] },
  { reachMax: 40, mantissas: [1, 2, 5] },
  { reachMax: Number.POSITIVE_INFINITY, mantissas: [1] },
];
const MARK_PITCH = 12;
const ROW_PADDING = 12;
const AXIS_HEIGHT = 44;
/** Below this, names are above their marks rather than beside them. */
const NARROW_WIDTH = 560;
const NAME_HEIGHT = 14;

/**
 * Ratios on a logarithmic axis, so that twice as much and half as much are as far from 1. Right is always better: who
 * asks for the chart turns the ratios of times around. A dot is a median, the line through it goes from the lowest to
 * the highest round.
 */
export function ratioChart(chart: RatioChart): string {
  const { rows, width = WIDTH_DEFAULT, yardstick } = chart;
  const isNarrow = width < NARROW_WIDTH;
  const nameWidth = isNarrow ? 0 : Math.min(width * 0.4, Math.max(0, ...rows.map(({ label }) => textWidth(label, 12))));
  const [left, right] = [MARGIN + nameWidth + 14, width - MARGIN - 52];
  const scale = scaleLog().domain(domainOf(chart)).range([left, right]).clamp(true);
  const top = HEAD_HEIGHT + 4;
  const parts: string[] = [];
  let y = top;
  for (const { label, marks } of rows) {
    const above = isNarrow ? NAME_HEIGHT : 0;
    const height = above + Math.max(1, marks.length) * MARK_PITCH + ROW_PADDING;
    const middle = y + (above + height) / 2;
    parts.push(line(MARGIN, y + height, width - MARGIN, y + height, "grid"));
    parts.push(
      drawName(label, isNarrow ? { y: y + 17, width: width - 2 * MARGIN } : { y: middle + 4, width: nameWidth + 4 }),
    );
    marks.forEach((mark, index) => {
      parts.push(drawMark(mark, scale, middle + (index - (marks.length - 1) / 2) * MARK_PITCH));
    });
    y += height;
  }
  const ends = { y: y + 34, class: "axis-title" };
  const axis =
    drawAxis(scale, top, y) +
    text({ ...ends, x: left }, `← worse than ${shorten(yardstick, (right - left) / 2, 12)}`) +
    text({ ...ends, x: right, "text-anchor": "end" }, "better →");
  return renderChart(chart, { height: y + AXIS_HEIGHT, description: describe(chart), body: axis + parts.join("") });
}

/** As far to the left as to the right. */
function domainOf({ rows }: RatioChart): [number, number] {
  const bounds = rows.flatMap(({ marks }) => marks.flatMap(({ ratio }) => [ratio.low, ratio.high]));
  const positive = bounds.filter((bound) => Number.isFinite(bound) && bound > 0);
  const reach = Math.max(1.5, ...positive.map((bound) => Math.max(bound, 1 / bound)));
  return [1 / (reach * 1.05), reach * 1.05];
}

function drawName(name: string, place: { readonly y: number; readonly width: number }): string {
  return text({ x: MARGIN, y: place.y, class: "halo" }, shorten(name, place.width, 12));
}

function drawAxis(scale: ScaleLogarithmic<number, number>, top: number, bottom: number): string {
  return ticksOf(scale.domain())
    .map((value) => {
      const x = scale(value);
      return (
        line(x, top, x, bottom, value === 1 ? "reference" : "grid") +
        text({ x, y: bottom + 16, class: "tick", "text-anchor": "middle" }, `${value}×`)
      );
    })
    .join("");
}

function ticksOf([low = 0.1, high = 10]: readonly number[]): number[] {
  const mantissas = TICK_MANTISSAS.find(({ reachMax }) => high <= reachMax)?.mantissas ?? [1];
  const ticks: number[] = [];
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.log10(high); exponent++) {
    // Not 2 * 10 ** -1, which is not quite what is written 0.2.
    for (const mantissa of mantissas) ticks.push(Number(`${mantissa}e${exponent}`));
  }
  return ticks.filter((value) => value >= low && value <= high);
}

function drawMark({ label, ratio, series }: RatioMark, scale: ScaleLogarithmic<number, number>, y: number): string {
  const { median, low, high } = ratio;
  const hover = `${label}: ${formatValue(median, "ratio")} (${formatValue(low, "ratio")} to ${formatValue(high, "ratio")})`;
  const end = Math.max(scale(high), scale(median) + 4);
  return element(
    "g",
    { class: seriesClass(series) },
    `<title>${escapeMarkup(hover)}</title>` +
      line(scale(low), y, scale(high), y, "range") +
      element("circle", { cx: scale(median), cy: y, r: 4.5, class: "dot" }) +
      text({ x: end + 6, y: y + 4, class: "tick value" }, formatValue(median, "ratio")),
  );
}

function describe({ rows }: RatioChart): string {
  return rows
    .map(({ label, marks }) => {
      return `${label}: ${marks.map((mark) => `${mark.label} ${formatValue(mark.ratio.median, "ratio")}`).join(", ")}`;
    })
    .join("; ");
}
