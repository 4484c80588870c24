import { formatBytes, formatDuration } from "../../base/index.js";
import {
  type BenchmarkResult,
  formatValue,
  type MeasurementSummary,
  percentileNs,
  summarize,
  type Target,
  type TargetSummary,
} from "../../benchmark/index.js";
import { type Column, type Row, renderColumns } from "./columns.js";

const PERCENTILES = [50, 95, 99] as const;
const NANOSECONDS = 1e9;

const COLUMNS: readonly Column[] = [
  { title: "", align: "left" },
  { title: "", align: "left" },
  { title: "result", align: "right" },
  { title: "to A", align: "right" },
  { title: "±", align: "right", rank: 2 },
  { title: "p50", align: "right", rank: 3 },
  { title: "p95", align: "right", rank: 1 },
  { title: "p99", align: "right", rank: 4 },
];

/** The result for people: who was measured, a table, and what its figures mean. Ends with a newline. */
export function renderResult(result: BenchmarkResult, width: number): string {
  const lines = [
    describeRun(result),
    "",
    ...result.targets.flatMap((target, index) => describeTarget(target, labelOf(result, index), width)),
    ...renderColumns(COLUMNS, tableRows(result), width),
    "",
    ...explain(result).flatMap((note) => wrap(note, width)),
  ];
  return `${lines.join("\n")}\n`;
}

function describeRun({ version, machine, durationSeconds }: BenchmarkResult): string {
  const memory = formatBytes(machine.memoryBytes);
  return [
    `podfs ${version}`,
    `Linux ${machine.kernel.split("-", 1)[0]}`,
    `${machine.cores} cores, ${memory}`,
    `took ${formatDuration(durationSeconds * 1000)}`,
  ].join("; ");
}

function describeTarget({ name, kind, details }: Target, label: string, width: number): string[] {
  const first = `${label === "" ? "" : `${label}  `}${name}: ${kind}`;
  if (details === "") return [first];
  return wrap(`${first}, ${details}`, width, label === "" ? "  " : "     ");
}

/** Letters keep the table narrow; one target needs none. */
function labelOf({ targets }: BenchmarkResult, index: number): string {
  return targets.length === 1 ? "" : String.fromCharCode("A".charCodeAt(0) + index);
}

function tableRows(result: BenchmarkResult): Row[] {
  let group = "";
  return summarize(result).flatMap((summary) => {
    const heading: Row[] = [];
    if (summary.measurement.group !== group) {
      group = summary.measurement.group;
      heading.push({ type: "heading", text: group });
    }
    return [...heading, ...measurementRows(summary, result)];
  });
}

function measurementRows({ measurement, targets }: MeasurementSummary, result: BenchmarkResult): Row[] {
  const { title, threads, unit } = measurement;
  const name = `  ${title}${threads === 1 ? "" : ` ×${threads}`}`;
  return targets.map((target, index) => {
    const cells = [index === 0 ? name : "", labelOf(result, index)];
    return { type: "cells", cells: [...cells, ...(target === undefined ? ["–"] : figures(target, unit))] };
  });
}

function figures({ value, ratio, latency }: TargetSummary, unit: MeasurementSummary["measurement"]["unit"]): string[] {
  const percentiles = PERCENTILES.map((percentile) =>
    latency === undefined ? "" : formatValue(percentileNs(latency, percentile) / NANOSECONDS, "s"),
  );
  const spread = value.median === 0 ? 0 : (value.high - value.low) / 2 / value.median;
  return [
    formatValue(value.median, unit),
    ratio === undefined ? "" : formatValue(ratio.median, "ratio"),
    value.low === value.high ? "" : `${Math.round(spread * 100)} %`,
    ...percentiles,
  ];
}

function explain({ measurements, targets }: BenchmarkResult): string[] {
  const rounds = new Set(measurements.flatMap(({ samples }) => samples.map(({ round }) => round))).size;
  return [
    ...(rounds > 1 ? [`Medians of ${rounds} rounds; ±: half of what lies between the lowest and the highest.`] : []),
    ...(targets.length > 1 ? ["to A: divided by A's figure of the same round."] : []),
    "×2: by two threads, or processes, at once.",
    "Reads are warm (in the page cache) unless they say cold. Writes end when write(2) returns, unless they say fsync.",
  ];
}

function wrap(text: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(last === undefined ? word : indent + word);
  }
  return lines;
}
