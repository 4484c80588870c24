#!/usr/bin/env node
/**
 * Makes docs/BENCHMARKS.md and its plots of results.
 *
 *   node bench/report.mjs [--rows=FILE] [--curves=FILE] [--output=DIRECTORY]
 *
 * Without options of bench/results/full.json and, if it is there, bench/results/curves-full.json, into docs/.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { curveChart, ratioCharts, rowCharts } from "./report/charts.mjs";
import { curveSection, groupSection, heading, peerNotes, skippedSection, targetTable } from "./report/markdown.mjs";
import { PROJECT } from "./support/commands.mjs";

const PEERS = "peers";
/** These belong to all rows, and come after them. */
const LAST_GROUPS = ["event loop", PEERS];

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: join(PROJECT, "bench/results/full.json") },
    curves: { type: "string", default: join(PROJECT, "bench/results/curves-full.json") },
    output: { type: "string", default: join(PROJECT, "docs") },
  },
});
if (!existsSync(options.rows)) {
  console.error(`report: there is no ${options.rows}; node bench/run.mjs makes it`);
  process.exit(2);
}
const rowResults = load(options.rows);
const curveResults = existsSync(options.curves) ? load(options.curves) : undefined;
const results = [rowResults, curveResults].filter((result) => result !== undefined);

const rows = rowResults.rows.filter(({ skipped }) => skipped === undefined);
const curves = (curveResults?.rows ?? []).filter(({ skipped }) => skipped === undefined);
const charts = [];
const draw = (...drawn) => {
  charts.push(...drawn);
  return drawn;
};
const sections = [
  heading(results),
  targetTable(rows),
  ...draw(...ratioCharts(rows)).map(({ file, title }) => `![${title}](benchmarks/${file})`),
  ...grouped(rows).map(([group, members]) => {
    const section = groupSection(group, members, draw(...rowCharts(group, members)));
    return group === PEERS ? `${section}\n\n${peerNotes(members)}` : section;
  }),
  ...grouped(curves).map(([group, members]) => curveSection(group, draw(...members.map(curveChart)))),
  skippedSection(
    results.flatMap((result) => result.rows.filter(({ skipped }) => skipped !== undefined)),
    results.flatMap(({ failures }) => failures),
  ),
].filter((section) => section !== "");

const folder = join(options.output, "benchmarks");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const { file, svg } of charts) writeFileSync(join(folder, file), svg);
writeFileSync(join(options.output, "BENCHMARKS.md"), `${sections.join("\n\n")}\n`);
console.log(`${join(options.output, "BENCHMARKS.md")}, ${charts.length} plots`);

function load(path) {
  const result = JSON.parse(readFileSync(path, "utf8"));
  if (result.formatVersion !== 1) throw new Error(`${path} is of a version this report does not know`);
  return result;
}

/** Members of each group, in the order in which groups first appear, but for those that come last. */
function grouped(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return [...groups].sort(([a], [b]) => LAST_GROUPS.indexOf(a) - LAST_GROUPS.indexOf(b));
}
