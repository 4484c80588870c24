import { formatDuration } from "../../base/index.js";
import { formatValue, percentileNs } from "../report/index.js";
import { groupBy, type MeasurementSummary, summarize } from "../report/summary.js";
import type { BackendCheck, BackendResult } from "./result.js";

const OUTCOMES = { ok: "ok", weak: "weak", failed: "FAILED" } as const;
const COLUMN_WIDTH = 10;

/** What was found, for people: needs first, figures behind. Ends with a newline. */
export function renderBackendText(result: BackendResult): string {
  const { targets, checks, durationSeconds, version } = result;
  const titleWidth = Math.max(...checks.map(({ title }) => title.length));
  const lines = [
    `${targets[0]?.name ?? ""}: ${targets[0]?.details ?? ""}`,
    "",
    ...checks.flatMap((check) => renderCheck(check, titleWidth)),
  ];
  for (const [group, rows] of groupBy(summarize(result), ({ measurement }) => measurement.group)) {
    lines.push("", ...renderGroup(group, rows));
  }
  lines.push("", `podfs ${version}; took ${formatDuration(durationSeconds * 1000)}; medians of rounds`);
  return `${lines.join("\n")}\n`;
}

function renderCheck({ outcome, title, detail, need, without }: BackendCheck, titleWidth: number): string[] {
  const first =
    `  ${OUTCOMES[outcome].padEnd(6)}  ${title.padEnd(titleWidth)}  ${outcome === "ok" ? detail : ""}`.trimEnd();
  if (outcome === "ok") return [first];
  return [first, `          ${detail}`, `          needed for ${need}`, `          without it: ${without}`];
}

function renderGroup(group: string, rows: readonly MeasurementSummary[]): string[] {
  const names = rows.map(({ measurement: { title, threads } }) => `${title}${threads > 1 ? ` ×${threads}` : ""}`);
  const nameWidth = Math.max(group.length, ...names.map((name) => name.length));
  const line = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(nameWidth)}${cells.map((cell) => cell.padStart(COLUMN_WIDTH + 2)).join("")}`;
  return [
    line(group, ["median", "p50", "p95", "p99"]),
    ...rows.map(({ measurement, targets: [summary] }, index) => {
      const latency = summary?.latency;
      const percentiles = [50, 95, 99].map((percentile) =>
        latency === undefined ? "" : formatValue(percentileNs(latency, percentile) / 1e9, "s"),
      );
      const median = summary === undefined ? "–" : formatValue(summary.value.median, measurement.unit);
      return line(names[index] ?? "", [median, ...percentiles]);
    }),
  ];
}
