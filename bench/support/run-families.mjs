import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { PROJECT, run } from "./commands.mjs";
import { Context } from "./context.mjs";
import { describeMachine, obstacle } from "./machine.mjs";
import { printRows } from "./table.mjs";
import { disposeAll } from "./workspace.mjs";

const USAGE = `[--quick] [--only=ID,…] [--again] [--rounds=N] [--name=NAME] [--list]

  --quick     small sizes, few rounds: whether everything works, not how fast it is
  --only      these families (see --list)
  --again     with --only: puts them in the place of those in the result of that name, and leaves the others
  --rounds    as many rounds of everything
  --name      of the file in bench/results (default: full, quick, or some with --only)`;

/**
 * The command line of run.mjs and curves.mjs: measures families, shows progress and tables, writes the results.
 *
 * @param {{ kind: string, families: readonly import("../rows/index.mjs").Family[] }} suite
 */
export async function runSuite({ kind, families }) {
  const options = readOptions(families);
  if (options === undefined) return;
  for (const signal of ["SIGINT", "SIGTERM"])
    process.once(signal, () => void disposeAll().then(() => process.exit(130)));
  const startedAt = new Date();
  const results = {
    formatVersion: 1,
    kind,
    startedAt: startedAt.toISOString(),
    quick: options.quick,
    commit: await commit(),
    machine: await describeMachine(),
    rows: [],
    failures: [],
  };
  for (const family of options.chosen) await measureFamily(family, options, results);
  results.durationSeconds = Math.round((Date.now() - startedAt.getTime()) / 1000);
  const path = join(PROJECT, "bench/results", `${kind === "rows" ? "" : `${kind}-`}${options.name}.json`);
  await mkdir(dirname(path), { recursive: true });
  const written = options.again ? await inPlaceOf(path, results, families, options.chosen) : results;
  await writeFile(path, `${JSON.stringify(written, null, 1)}\n`);
  console.log(`\n${path}`);
  await disposeAll();
  if (results.failures.length > 0) process.exitCode = 1;
}

/** The result at `path` with these families measured again; says when, and at which commit, each time was. */
async function inPlaceOf(path, results, families, chosen) {
  const before = JSON.parse(await readFile(path, "utf8"));
  const isMeasuredAgain = (row) => chosen.some(({ id }) => id === (row.family ?? row.id));
  const rows = [...before.rows.filter((row) => !isMeasuredAgain(row)), ...results.rows];
  const placeOf = (row) => families.findIndex(({ id }) => id === (row.family ?? row.id));
  const { startedAt, commit, durationSeconds } = results;
  return {
    ...before,
    rows: rows.toSorted((a, b) => placeOf(a) - placeOf(b)),
    failures: [...before.failures.filter((failure) => !isMeasuredAgain(failure)), ...results.failures],
    again: [...(before.again ?? []), { families: chosen.map(({ id }) => id), startedAt, commit, durationSeconds }],
  };
}

/** @returns undefined when all that was asked for was text */
function readOptions(families) {
  const values = parse();
  if (values.help || values.list) {
    const list = families.map(({ id, title, minutes }) => `${id.padEnd(14)} ${title}, about ${minutes} min`);
    console.log(values.list ? list.join("\n") : `node ${process.argv[1]} ${USAGE}`);
    return undefined;
  }
  const only = values.only?.split(",");
  const unknown = only?.find((id) => families.every((family) => family.id !== id));
  if (unknown !== undefined) fail(`there is nothing called ${unknown}; --list shows what there is`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) fail("--rounds takes a number from 1");
  if (values.again && only === undefined) fail("--again takes --only=ID,…: what to measure again");
  return {
    quick: values.quick,
    again: values.again,
    rounds,
    name: values.name ?? (only !== undefined && !values.again ? "some" : values.quick ? "quick" : "full"),
    chosen: families.filter(({ id }) => only === undefined || only.includes(id)),
  };
}

function parse() {
  const options = {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    again: { type: "boolean", default: false },
    rounds: { type: "string" },
    name: { type: "string" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return fail(error.message);
  }
}

/** A family that fails does not stop the others; what it measured before counts. */
async function measureFamily(family, options, results) {
  const reason = await obstacle(family.needs);
  console.log(`\n# ${family.title}${reason === undefined ? "" : `: skipped, ${reason}`}`);
  if (reason !== undefined) {
    results.rows.push({ id: family.id, group: family.title, title: family.title, skipped: reason });
    return;
  }
  const context = new Context({ ...options, progress });
  const start = Date.now();
  try {
    for await (const row of family.measure(context)) {
      clearProgress();
      printRows([row]);
      results.rows.push({ family: family.id, ...row });
    }
  } catch (error) {
    clearProgress();
    console.error(`failed: ${error.stack}`);
    results.failures.push({ family: family.id, message: error.message });
  }
  clearProgress();
  console.log(`  (${Math.round((Date.now() - start) / 1000)} s)`);
}

/** One line that is written over, for people; nothing where the output goes to a file. */
function progress(text) {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K  ${text} …`);
}

function clearProgress() {
  if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
}

async function commit() {
  return (await run("git", ["-C", PROJECT, "rev-parse", "--short", "HEAD"]).catch(() => "")).trim();
}

function fail(message) {
  console.error(`bench: ${message}`);
  process.exit(2);
}
