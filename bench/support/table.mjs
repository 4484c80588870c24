import { formatFigure, formatRatio, formatTarget } from "./format.mjs";
import { OURS } from "./row.mjs";

/** Rows and curves on a terminal. Of rows: ours, the others, the ratio and its spread, the target and whether it is met. */
export function printRows(rows) {
  for (const row of rows) console.log(row.series === undefined ? lineOf(row) : curveOf(row));
}

/** A line for each series. */
function curveOf({ title, unit, xUnit, series }) {
  const point = ([x, y]) => `${formatFigure(x, xUnit)}: ${formatFigure(y, unit)}`;
  return [
    `  ${title}`,
    ...series.map(({ label, points }) => `    ${label.padEnd(34)} ${points.map(point).join("   ")}`),
  ].join("\n");
}

function lineOf(row) {
  if (row.skipped !== undefined) return `  ${row.title.padEnd(46)} skipped: ${row.skipped}`;
  const figure = (name) => formatFigure(row.figures[name]?.[row.judgedBy], row.unit);
  const others = Object.keys(row.figures).filter((name) => name !== OURS);
  const missing = Object.keys(row.missing ?? {}).map((name) => `${name} skipped`);
  return [
    `  ${row.title.padEnd(46)}`,
    figure(OURS).padStart(12),
    ` ${[...others.map((name) => `${name} ${figure(name)}`), ...missing].join(", ")}`.padEnd(34),
    ratioOf(row).padEnd(22),
    row.target === undefined ? "" : `${row.met ? "met   " : "MISSED"} ${formatTarget(row)}`,
  ]
    .join(" ")
    .trimEnd();
}

function ratioOf({ ratio }) {
  if (ratio === undefined) return "";
  const { median, min, max } = ratio;
  return `${formatRatio(median)} (${formatRatio(min)}–${formatRatio(max)})`;
}
