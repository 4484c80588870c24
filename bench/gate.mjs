#!/usr/bin/env node
/**
 * Keeps podfs from becoming slower unnoticed: compares the ratios of two results, row by row. Absolute figures are not
 * looked at, since they say more about the machine and the moment.
 *
 *   node bench/gate.mjs RESULT.json [BASELINE.json]     the baseline is bench/results/baseline.json if not said otherwise
 *
 * Exit code 1: a ratio has become worse by more than its row tolerates, or a row of the baseline is gone. 2: the files
 * cannot be compared.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./support/commands.mjs";

const TOLERANCE_DEFAULT = 0.2;

const [resultPath, baselinePath = join(PROJECT, "bench/results/baseline.json")] = process.argv.slice(2);
if (resultPath === undefined) stop("usage: node bench/gate.mjs RESULT.json [BASELINE.json]");
const result = load(resultPath);
const baseline = load(baselinePath);
if (result.quick !== baseline.quick) stop("a quick run and a full one cannot be compared: their sizes differ");

const verdicts = baseline.rows.filter(isGated).map((row) => judge(row, counterpart(row)));
for (const { row, text, isWorse } of verdicts)
  console.log(`${isWorse ? "WORSE" : "ok   "} ${row.id.padEnd(28)} ${text}`);
const worse = verdicts.filter(({ isWorse }) => isWorse).length;
console.log(`${verdicts.length} rows compared, ${worse === 0 ? "none" : worse} worse than tolerated`);
process.exitCode = worse === 0 ? 0 : 1;

/** Only ratios, and only where they repeat well enough to mean something. */
function isGated(row) {
  return row.ratio !== undefined && row.tolerance !== null;
}

/** The same row now, or what says that its whole family was skipped. */
function counterpart({ id, family }) {
  return (
    result.rows.find((row) => row.id === id) ??
    result.rows.find((row) => row.skipped !== undefined && row.id === family)
  );
}

function judge(row, now) {
  if (now?.ratio === undefined) {
    // What this machine cannot measure is no regression; what has vanished may be one.
    const reason = now?.skipped;
    return {
      row,
      isWorse: reason === undefined,
      text: reason === undefined ? "was not measured" : `skipped: ${reason}`,
    };
  }
  const tolerance = row.tolerance ?? TOLERANCE_DEFAULT;
  const before = row.ratio.median;
  const after = now.ratio.median;
  const limit = row.better === "higher" ? before / (1 + tolerance) : before * (1 + tolerance);
  const isWorse = row.better === "higher" ? after < limit : after > limit;
  const sign = row.better === "higher" ? "at least" : "at most";
  const text = `${after.toPrecision(3)} × ${row.yardstick}, was ${before.toPrecision(3)}, tolerated ${sign} ${limit.toPrecision(3)}`;
  return { row, isWorse, text };
}

function load(path) {
  let result;
  try {
    result = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    stop(`${path}: ${error.message}`);
  }
  if (result.formatVersion !== 1 || !Array.isArray(result.rows)) stop(`${path} is not a result of bench/run.mjs`);
  return result;
}

function stop(message) {
  console.error(`gate: ${message}`);
  process.exit(2);
}
