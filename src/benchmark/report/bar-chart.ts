import { type ChartUnit, formatValue } from "./format-value.js";
import { createScale, type Scale } from "./scales.js";
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

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Ends of the whisker: the smallest and the largest of the values behind it. */
  readonly low: number;
  readonly high: number;
  /** Which colour, when bars are left out somewhere; else its place in the group. */
  readonly series?: number;
}

export interface BarGroup {
  readonly label: string;
  readonly bars: readonly Bar[];
  /** Where each group has its own scale, it may have its own unit. */
  readonly unit?: ChartUnit;
}

export interface BarChart extends ChartFrame {
  readonly unit: ChartUnit;
  readonly groups: readonly BarGroup[];
  /**
   * One axis for all groups, or each group drawn to its own largest value, without an axis: for figures that are not
   * to be compared across groups, and may be a thousand times apart. Default "shared".
   */
  readonly scale?: "shared" | "each";
  /** A line across: a target, or what is 1. With one axis only. */
  readonly reference?: { readonly value: number; readonly label: string };
}

const BAR_HEIGHT = 16;
const BAR_PITCH = 21;
const GROUP_HEAD = 24;
const GROUP_GAP = 14;
const AXIS_HEIGHT = 26;

interface Columns {
  readonly from: number;
  readonly to: number;
}

/** Horizontal bars in groups, every bar with its name and value, and a whisker from its lowest to its highest. */
export function barChart(chart: BarChart): string {
  const { groups, unit, reference, scale: kind = "shared" } = chart;
  const columns = columnsOf(chart);
  const isShared = kind === "shared";
  const top = HEAD_HEIGHT + (isShared && reference !== undefined ? 16 : 0);
  const bottom = groups.reduce((y, group) => y + groupHeight(group) + GROUP_GAP, top) - GROUP_GAP;
  const shared = scaleOf(groups, columns, unit, reference?.value);
  const parts: string[] = isShared ? [drawAxis(shared, top, bottom)] : [];
  let y = top;
  for (const group of groups) {
    const own = group.unit ?? unit;
    parts.push(drawGroup(group, isShared ? shared : scaleOf([group], columns, own), y, columns, own));
    y += groupHeight(group) + GROUP_GAP;
  }
  if (isShared && reference !== undefined) parts.push(drawReference(reference, shared, top, bottom, columns));
  return renderChart(chart, {
    height: bottom + (isShared ? AXIS_HEIGHT : 8),
    description: describe(chart),
    body: parts.join(""),
  });
}

/** Names on the left, bars, and room for the values on the right. */
function columnsOf({ groups, unit, width = WIDTH_DEFAULT }: BarChart): Columns {
  const bars = groups.flatMap((group) => group.bars.map((bar) => ({ ...bar, unit: group.unit ?? unit })));
  const nameWidth = Math.max(0, ...bars.map(({ label }) => textWidth(label, 12)));
  const valueWidth = Math.max(0, ...bars.map((bar) => textWidth(formatValue(bar.value, bar.unit), 12)));
  return { from: MARGIN + Math.min(nameWidth, width * 0.3) + 8, to: width - MARGIN - valueWidth - 10 };
}

function groupHeight({ bars }: BarGroup): number {
  return GROUP_HEAD + bars.length * BAR_PITCH;
}

function scaleOf(groups: readonly BarGroup[], columns: Columns, unit: ChartUnit, atLeast = 0): Scale {
  const highest = groups.flatMap(({ bars }) => bars.flatMap(({ value, high }) => [value, high]));
  const max = Math.max(atLeast, ...highest.filter(Number.isFinite));
  const { from, to } = columns;
  return createScale({ kind: "linear", unit, domain: [0, max], range: [from, to], tickCount: (to - from) / 90 });
}

function drawAxis({ ticks, at }: Scale, top: number, bottom: number): string {
  return ticks
    .map(({ value, label }) => {
      const x = at(value);
      const anchor = value === 0 ? "start" : "middle";
      return (
        line(x, top, x, bottom, value === 0 ? "base" : "grid") +
        text({ x, y: bottom + 16, class: "tick", "text-anchor": anchor }, label)
      );
    })
    .join("");
}

function drawGroup(group: BarGroup, scale: Scale, top: number, columns: Columns, unit: ChartUnit): string {
  const heading = text({ x: MARGIN, y: top + 15, class: "group" }, shorten(group.label, columns.to - MARGIN, 13));
  const bars = group.bars.map((bar, index) => {
    const y = top + GROUP_HEAD + index * BAR_PITCH;
    return drawBar(bar, bar.series ?? index, scale, y, columns, unit);
  });
  return heading + bars.join("");
}

function drawBar(bar: Bar, series: number, scale: Scale, y: number, columns: Columns, unit: ChartUnit): string {
  const { label, value, low, high } = bar;
  const middle = y + BAR_HEIGHT / 2;
  const start = scale.at(0);
  const end = Number.isFinite(value) ? scale.at(value) : start;
  const [from, to] = [low, high].map((bound) => (Number.isFinite(bound) ? scale.at(bound) : end)) as [number, number];
  const hasWhisker = to - from > 1;
  const whisker = hasWhisker
    ? line(from, middle, to, middle, "whisker") +
      [from, to].map((x) => line(x, middle - 3.5, x, middle + 3.5, "whisker")).join("")
    : "";
  const spread = low === high ? "" : ` (${formatValue(low, unit)} to ${formatValue(high, unit)})`;
  const hover = `<title>${escapeMarkup(`${label}: ${formatValue(value, unit)}${spread}`)}</title>`;
  return element(
    "g",
    { class: seriesClass(series) },
    hover +
      text({ x: MARGIN, y: middle + 4, class: "name" }, shorten(label, columns.from - MARGIN - 6, 12)) +
      element("rect", { x: start, y, width: Math.max(1, end - start), height: BAR_HEIGHT, rx: 2, class: "bar" }) +
      whisker +
      text({ x: Math.max(end, hasWhisker ? to : end) + 6, y: middle + 4, class: "value" }, formatValue(value, unit)),
  );
}

function drawReference(
  { value, label }: NonNullable<BarChart["reference"]>,
  { at }: Scale,
  top: number,
  bottom: number,
  columns: Columns,
): string {
  const x = at(value);
  const anchor = x > (columns.from + columns.to) / 2 ? "end" : "start";
  return (
    line(x, top - 4, x, bottom, "reference") + text({ x, y: top - 8, class: "tick", "text-anchor": anchor }, label)
  );
}

function describe({ groups, unit }: BarChart): string {
  return groups
    .map(({ label, bars, unit: own = unit }) => {
      return `${label}: ${bars.map((bar) => `${bar.label} ${formatValue(bar.value, own)}`).join(", ")}`;
    })
    .join("; ");
}
