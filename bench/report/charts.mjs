/** Plots of results, as SVG files beside the report. */
import { barChart, lineChart } from "../../dist/benchmark/report/index.js";
import { OURS } from "../support/row.mjs";

/**
 * Bars of every group of rows, side by side for each contestant; rows of one group and of different units go to plots of
 * their own.
 *
 * @returns `{ file, title, svg }`
 */
export function rowCharts(group, rows) {
  // A bar alone says no more than the number in the table.
  const compared = rows.filter(({ figures }) => Object.keys(figures).length > 1);
  const units = [...new Set(compared.map(({ unit }) => unit))];
  return units.map((unit) => {
    const drawn = compared.filter((row) => row.unit === unit);
    const title = units.length === 1 ? group : `${group}: ${UNIT_NAMES[unit] ?? unit}`;
    const chart = {
      title,
      note: noteOf(drawn),
      unit,
      scale: "each",
      groups: drawn.map(barsOf),
    };
    return { file: `${slug(title)}.svg`, title, svg: barChart(chart) };
  });
}

/** The ratios that have to be at least something, with the line they have to reach: a plot for each such line. */
export function ratioCharts(rows) {
  const judged = rows.filter(({ ratio, target }) => ratio !== undefined && target?.of === "ratio" && target.atLeast);
  const lines = [...new Set(judged.map(({ target }) => target.atLeast))].sort((a, b) => a - b);
  return lines.map((line) => ({
    file: `ratios-${line}.svg`,
    title: `podfs as a ratio to its yardstick, target ${line}`,
    svg: ratioChart(
      line,
      judged.filter(({ target }) => target.atLeast === line),
    ),
  }));
}

function ratioChart(line, rows) {
  // One round in which the yardstick waited for a disk would squeeze all others.
  const edge = Math.max(2 * line, ...rows.map(({ ratio }) => 1.2 * ratio.median));
  const isCut = rows.some(({ ratio }) => ratio.max > edge);
  return barChart({
    title: `podfs as a ratio to its yardstick, target ${line}`,
    note: `median of the rounds, whiskers from the lowest to the highest${isCut ? `, at most ${edge.toFixed(1)}` : ""}`,
    unit: "ratio",
    reference: { value: line, label: `target ${line}` },
    groups: rows.map(({ title: label, group, ratio, yardstick }) => ({
      label: `${label} (${group})`,
      bars: [{ label: `of ${yardstick}`, value: ratio.median, low: ratio.min, high: Math.min(ratio.max, edge) }],
    })),
  });
}

export function curveChart({ id, title, conditions, xLabel, xUnit, yLabel, unit, series }) {
  const svg = lineChart({
    title,
    note: conditions,
    x: { label: xLabel, scale: "log", unit: xUnit },
    y: { label: yLabel, scale: "log", unit },
    series: oursFirst(series, ({ label }) => label),
  });
  return { file: `${slug(id)}.svg`, title, svg };
}

const UNIT_NAMES = { "B/s": "throughput", "operations/s": "operations", s: "time", count: "numbers" };

function barsOf({ title, figures, judgedBy }) {
  const names = oursFirst(Object.keys(figures), (name) => name);
  return {
    label: title,
    bars: names.map((label) => {
      const { [judgedBy]: value, min, max } = figures[label];
      return { label, value, low: min, high: max };
    }),
  };
}

/** The first of each plot has the same colour everywhere. */
function oursFirst(items, nameOf) {
  return [...items].sort((a, b) => Number(nameOf(b) === OURS) - Number(nameOf(a) === OURS));
}

function noteOf(rows) {
  return rows.every(({ better }) => better === "lower") ? "less is better" : "more is better";
}

function slug(text) {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "");
}
