import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { firstWords, waitUntil } from "./commands.mjs";

const PRELOAD = fileURLToPath(new URL("./loop-delay.mjs", import.meta.url));
const TRACE = fileURLToPath(new URL("./loop-trace.mjs", import.meta.url));

/** The environment that makes a daemon watch its event loop. @param directory where it reports */
export function loopEnvironment(directory) {
  const preloads = process.env.PODFS_BENCH_STALLS ? [PRELOAD, TRACE] : [PRELOAD];
  const imports = preloads.map((path) => `--import=${pathToFileURL(path)}`);
  return { NODE_OPTIONS: [process.env.NODE_OPTIONS, ...imports].join(" ").trim(), PODFS_BENCH_LOOP_DIR: directory };
}

/** Reads the figures of one watched process, each time those since the last time. */
export class LoopReader {
  #pid;
  #directory;
  #number = 0;

  constructor(pid, directory) {
    this.#pid = pid;
    this.#directory = directory;
  }

  get pid() {
    return this.#pid;
  }

  async read() {
    const path = join(this.#directory, `${this.#pid}.${this.#number++}.json`);
    process.kill(this.#pid, "SIGUSR2");
    await waitUntil(() => existsSync(path), `process ${this.#pid} says how its event loop did`);
    const report = JSON.parse(readFileSync(path, "utf8"));
    rmSync(path);
    return report;
  }
}

/** A process with nothing to do, watched like a daemon: how much of a delay is the machine's. */
export async function startIdleProcess(directory) {
  const child = spawn(process.execPath, [PRELOAD], {
    env: { ...process.env, PODFS_BENCH_LOOP_DIR: directory },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await firstWords(child);
  return { reader: new LoopReader(child.pid, directory), stop: () => child.kill() };
}
