import type { Scale } from "./scales.js";
import {
  type ChartFrame,
  element,
  HEAD_HEIGHT,
  line,
  MARGIN,
  polyline,
  shorten,
  text,
  textWidth,
  WIDTH_DEFAULT,
} from "./svg.js";
import { seriesClass } from "./theme.js";

const PLOT_HEIGHT = 230;
const TICK_WIDTH = 58;
const NAME_HEIGHT = 15;
/** Bold text of 12 pixels is as wide as plain text of this size. */
const BOLD = 13;

/** Where the curves are, in pixels; what is right of it has their names. */
export interface PlotArea {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly width: number;
  /** Of the whole chart. */
  readonly height: number;
}

export interface Plot extends PlotArea {
  readonly x: Scale;
  readonly y: Scale;
  readonly xLabel: string;
  readonly yLabel: string;
}

export interface Curve {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** The points that get a dot. */
  readonly marked: readonly (readonly [x: number, y: number])[];
  readonly series?: number;
}

export function plotArea(frame: ChartFrame, curves: readonly { readonly label: string }[]): PlotArea {
  const width = frame.width ?? WIDTH_DEFAULT;
  const nameWidth = Math.min(width * 0.28, Math.max(0, ...curves.map(({ label }) => textWidth(label, BOLD))));
  const top = HEAD_HEIGHT + (frame.note === undefined ? 4 : 24);
  return {
    ...{ left: TICK_WIDTH + 4, right: width - MARGIN - nameWidth - 6, width },
    ...{ top, bottom: top + PLOT_HEIGHT, height: top + PLOT_HEIGHT + 46 },
  };
}

export function drawCurves(plot: Plot, curves: readonly Curve[]): string {
  const drawn = curves.map((curve, index) => drawCurve(plot, curve, curve.series ?? index));
  return drawAxes(plot) + drawn.join("") + drawNames(plot, curves);
}

function drawAxes({ left, right, top, bottom, x, y, xLabel, yLabel }: Plot): string {
  const across = y.ticks.map(({ value, label }) => {
    const at = y.at(value);
    return (
      line(left, at, right, at, "grid") + text({ x: left - 7, y: at + 4, class: "tick", "text-anchor": "end" }, label)
    );
  });
  const along = x.ticks.map(({ value, label }) => {
    const at = x.at(value);
    return (
      line(at, bottom, at, bottom + 4, "base") +
      text({ x: at, y: bottom + 17, class: "tick", "text-anchor": "middle" }, label)
    );
  });
  return [
    ...across,
    ...along,
    line(left, bottom, right, bottom, "base"),
    text({ x: MARGIN, y: top - 12, class: "axis-title" }, yLabel),
    text({ x: right, y: bottom + 36, class: "axis-title", "text-anchor": "end" }, xLabel),
  ].join("");
}

function drawCurve({ x, y }: Plot, { points, marked }: Curve, series: number): string {
  const pixels = points.map((point) => [x.at(point[0]), y.at(point[1])] as const);
  const dots = marked.map((point) =>
    element("circle", { cx: x.at(point[0]), cy: y.at(point[1]), r: 3.5, class: "dot" }),
  );
  return element("g", { class: seriesClass(series) }, polyline(pixels, "curve") + dots.join(""));
}

/** Names at the ends of their curves, moved apart where those meet. */
function drawNames({ right, top, bottom, width, x, y }: Plot, curves: readonly Curve[]): string {
  const names = curves.flatMap(({ label, points, series }, index) => {
    const last = points.at(-1);
    if (last === undefined) return [];
    const end = x.at(last[0]);
    // A curve that ends early has its name there.
    const from = end + textWidth(label, BOLD) < right ? end : right;
    return { label, series: series ?? index, from, wanted: y.at(last[1]), y: 0 };
  });
  names.sort((one, other) => one.wanted - other.wanted);
  let free = top;
  for (const name of names) {
    name.y = Math.max(name.wanted, free);
    free = name.y + NAME_HEIGHT;
  }
  let limit = bottom;
  for (const name of names.toReversed()) {
    name.y = Math.min(name.y, limit);
    limit = name.y - NAME_HEIGHT;
  }
  return names
    .map(({ label, series, from, y: at }) =>
      text(
        { x: from + 8, y: at + 4, class: `series ${seriesClass(series)}` },
        shorten(label, width - from - 8 - MARGIN / 2, BOLD),
      ),
    )
    .join("");
}
