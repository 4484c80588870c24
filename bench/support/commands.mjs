/** Running programs and timing them. Everything waits without blocking: a server may live in this very process. */
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);
const OUTPUT_BYTES_MAX = 64 << 20;

/** Root of the repository. */
export const PROJECT = resolve(import.meta.dirname, "../..");

const running = new Set();

/** Ends what runs, so that nothing is busy in a mount that has to go. */
export function killCommands() {
  for (const child of running) child.kill("SIGKILL");
}

/**
 * Runs a program to its end and returns what it printed.
 *
 * @throws Error with the program's last words when it fails.
 */
export async function run(program, args, options = {}) {
  const execution = execute(program, args, { encoding: "utf8", maxBuffer: OUTPUT_BYTES_MAX, ...options });
  running.add(execution.child);
  try {
    return (await execution).stdout;
  } catch (error) {
    const said = String(error.stderr ?? "").trim();
    throw new Error(`${program} ${args.join(" ")}: ${said.split("\n").at(-1) || error.message}`, { cause: error });
  } finally {
    running.delete(execution.child);
  }
}

/** A line of shell; start-up files of the user's shell are kept out. */
export async function bash(script, options = {}) {
  return await run("bash", ["--norc", "-euo", "pipefail", "-c", script], options);
}

/** What a program that goes on running prints first. @throws Error it ended without a word */
export function firstWords(child) {
  return new Promise((resolve, reject) => {
    child.stdout.once("data", (bytes) => resolve(String(bytes)));
    child.once("exit", (code) => reject(new Error(`${child.spawnargs.join(" ")} ended with ${code}`)));
  });
}

/** Seconds an action takes. */
export async function timed(action) {
  const start = process.hrtime.bigint();
  await action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/** Polls until `condition` holds. @throws after `limitMs`, saying what did not happen. */
export async function waitUntil(condition, what, limitMs = 30_000) {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`still waiting after ${limitMs / 1000} s: ${what}`);
    await sleep(20);
  }
}
