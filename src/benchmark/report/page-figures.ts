import type { BenchmarkResult, Target } from "../result.js";
import { barChart } from "./bar-chart.js";
import { formatValue } from "./format-value.js";
import { percentileNs } from "./latencies.js";
import { type LatencySeries, latencyChart } from "./latency-chart.js";
import { named } from "./page-table.js";
import { ratioChart } from "./ratio-chart.js";
import { capitalized, groupBy, type MeasurementSummary, type Spread } from "./summary.js";
import { escapeMarkup } from "./svg.js";

/** Narrow enough to be read on a phone without turning it. */
const FIGURE_WIDTH = 440;
const OVERVIEW_WIDTH = 960;
const NS = 1e-9;

/** All plots of the page: ratios at a glance, bars of each group, latencies. */
export function renderFigures(result: BenchmarkResult, summaries: readonly MeasurementSummary[]): string {
  const { targets } = result;
  return [
    targets.length > 1 ? renderOverview(targets, summaries) : "",
    ...[...groupBy(summaries, ({ measurement }) => measurement.group)].map(([group, rows], index) =>
      renderGroup(group, rows, targets, `group-${index}`),
    ),
  ].join("\n");
}

function renderOverview(targets: readonly Target[], summaries: readonly MeasurementSummary[]): string {
  const yardstick = targets[0]?.name ?? "";
  const rows = summaries.flatMap(({ measurement, targets: cells }) => {
    const marks = cells.flatMap((cell, series) => {
      if (cell?.ratio === undefined) return [];
      const ratio = measurement.better === "higher" ? cell.ratio : inverse(cell.ratio);
      return { label: targets[series]?.name ?? "", ratio, series };
    });
    return marks.length === 0 ? [] : { label: titleOf(measurement), marks };
  });
  if (rows.length === 0) return "";
  const frame = {
    title: "How many times as good",
    note: `ratio to ${yardstick} in the same round; right is always better`,
    ...{ rows, yardstick },
  };
  const wide = ratioChart({ ...frame, width: OVERVIEW_WIDTH, embeddedAs: "overview" });
  const narrow = ratioChart({ ...frame, width: FIGURE_WIDTH, embeddedAs: "overview-narrow" });
  const legend = targets
    .slice(1)
    .map(({ name }, index) => named(name, index + 1))
    .join(" &ensp; ");
  return `<section>
<h2>At a glance</h2>
<p class="lead">${legend}</p>
<figure class="wide">${wide}</figure>
<figure class="narrow">${narrow}</figure>
</section>`;
}

/** Of how many seconds to how many per second: what takes half the time is twice as good. */
function inverse({ median, low, high }: Spread): Spread {
  return { median: 1 / median, low: 1 / high, high: 1 / low };
}

function renderGroup(
  group: string,
  summaries: readonly MeasurementSummary[],
  targets: readonly Target[],
  id: string,
): string {
  const bars = renderBars(summaries, targets, `${id}-bars`);
  const latencies = summaries.map((row, index) => renderLatency(row, targets, `${id}-latency-${index}`));
  return `<section>
<h2>${escapeMarkup(capitalized(group))}</h2>
<div class="plots">${[bars, ...latencies].join("\n")}</div>
</section>`;
}

function renderBars(rows: readonly MeasurementSummary[], targets: readonly Target[], embeddedAs: string): string {
  const allLower = rows.every(({ measurement }) => measurement.better === "lower");
  const groups = rows.map(({ measurement, targets: cells }) => ({
    label: titleOf(measurement) + (measurement.better === "lower" && !allLower ? " (lower is better)" : ""),
    unit: measurement.unit,
    bars: cells.flatMap((cell, series) => {
      if (cell === undefined) return [];
      const { median, low, high } = cell.value;
      return { label: targets[series]?.name ?? "", value: median, low, high, series };
    }),
  }));
  const chart = barChart({
    title: "Medians",
    note: `${allLower ? "lower is better; " : ""}each on its own scale; whiskers are rounds`,
    ...{ unit: "count", groups, scale: "each", width: FIGURE_WIDTH, embeddedAs },
  });
  return `<figure>${chart}</figure>`;
}

function renderLatency(
  { measurement, targets: cells }: MeasurementSummary,
  targets: readonly Target[],
  id: string,
): string {
  const series = cells.flatMap((cell, index): LatencySeries[] =>
    cell?.latency === undefined ? [] : [{ label: targets[index]?.name ?? "", latency: cell.latency, series: index }],
  );
  if (series.length === 0) return "";
  const title = `Latency: ${titleOf(measurement)}`;
  const note = "lower is better; dots are p50, p95, p99";
  const chart = latencyChart({ title, note, series, width: FIGURE_WIDTH, embeddedAs: id });
  return `<figure>${chart}<div class="scroll">${latencyTable(series, title)}</div></figure>`;
}

function latencyTable(series: readonly LatencySeries[], title: string): string {
  const rows = series.map(({ label, latency, series: colour = 0 }) => {
    const figures = [...[50, 95, 99].map((percentile) => percentileNs(latency, percentile)), latency.maxNs];
    const columns = figures.map((ns) => `<td>${formatValue(ns * NS, "s")}</td>`);
    return `<tr><th scope="row">${named(label, colour)}</th>${columns.join("")}</tr>`;
  });
  const head = ["p50", "p95", "p99", "max"].map((name) => `<th scope="col">${name}</th>`);
  return `<table><caption>${escapeMarkup(title)}</caption><thead><tr><th></th>${head.join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function titleOf({ title, threads }: MeasurementSummary["measurement"]): string {
  return threads > 1 ? `${title} ×${threads}` : title;
}
