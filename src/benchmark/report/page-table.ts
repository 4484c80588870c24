import type { BenchmarkResult, Target } from "../result.js";
import { type ChartUnit, formatValue } from "./format-value.js";
import { capitalized, groupBy, type MeasurementSummary, type TargetSummary } from "./summary.js";
import { escapeMarkup } from "./svg.js";
import { seriesClass } from "./theme.js";

const VERDICTS = {
  better: { sign: "▲", words: "better" },
  worse: { sign: "▼", words: "worse" },
  same: { sign: "≈", words: "no clear difference" },
} as const;

/** Every figure, with its spread and its ratio to the first target. */
export function renderTable({ targets }: BenchmarkResult, summaries: readonly MeasurementSummary[]): string {
  const head = targets.map((target, index) => `<th scope="col">${named(target.name, index)}</th>`);
  const bodies = [...groupBy(summaries, ({ measurement }) => measurement.group)].map(([group, rows]) => {
    const title = `<tr class="block"><th colspan="${targets.length + 1}" scope="rowgroup">${escapeMarkup(capitalized(group))}</th></tr>`;
    return `<tbody>${title}${rows.map((row) => renderRow(row, targets)).join("")}</tbody>`;
  });
  return `<section>
<h2>Every figure</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of all figures">
<table><caption>Medians, spreads and ratios</caption>
<thead><tr><th scope="col">Measurement</th>${head.join("")}</tr></thead>
${bodies.join("\n")}
</table></div>
</section>`;
}

function renderRow({ measurement, targets: cells }: MeasurementSummary, targets: readonly Target[]): string {
  const { title, threads, better, unit } = measurement;
  const notes = [threads > 1 ? `${threads} at once` : "", better === "lower" ? "lower is better" : ""];
  const small = notes.filter((note) => note !== "").join(", ");
  const columns = targets.map((_, index) => `<td>${renderCell(cells[index], unit)}</td>`);
  return `<tr><th scope="row">${escapeMarkup(capitalized(title))}${small === "" ? "" : `<small>${small}</small>`}</th>${columns.join("")}</tr>\n`;
}

function renderCell(summary: TargetSummary | undefined, unit: ChartUnit): string {
  if (summary === undefined) return `<span class="soft">–</span>`;
  const { value, ratio, verdict } = summary;
  const figure = `<span class="figure">${escapeMarkup(formatValue(value.median, unit))}</span>`;
  const spread =
    value.low === value.high ? "" : `<small>${formatValue(value.low, unit)} – ${formatValue(value.high, unit)}</small>`;
  if (ratio === undefined) return figure + spread;
  const { sign, words } = VERDICTS[verdict];
  return `${figure}<span class="ratio ${verdict}" title="${words}">${sign} ${formatValue(ratio.median, "ratio")}</span>${spread}`;
}

/** A target's name beside a patch of its colour. */
export function named(name: string, series: number): string {
  return `<span class="named ${seriesClass(series)}">${escapeMarkup(name)}</span>`;
}
