/** What the benchmark scripts share: commands, mounts, fio, medians. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const PROJECT = resolve(import.meta.dirname, "../..");
const PROGRAM = join(PROJECT, "dist/cli/main.js");

/** A temporary directory with mounts in it; `dispose` unmounts and deletes. */
export class Bench {
  #mounts = [];
  constructor(environment = {}) {
    this.directory = mkdtempSync(join(process.env.PODFS_BENCH_DIR ?? tmpdir(), "podfs-bench-"));
    this.environment = {
      ...process.env,
      PODFS_STATE_DIR: join(this.directory, "state"),
      XDG_CACHE_HOME: join(this.directory, "cache"),
      ...environment,
    };
  }

  path(name) {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  podfs(...args) {
    return execFileSync(process.execPath, [PROGRAM, ...args], { env: this.environment, encoding: "utf8" });
  }

  mount(volume, name, ...options) {
    const mountpoint = this.path(name);
    this.podfs("mount", ...options, volume, mountpoint);
    this.#mounts.push(mountpoint);
    return mountpoint;
  }

  status(mountpoint) {
    return JSON.parse(this.podfs("status", "--json", mountpoint));
  }

  unmount(mountpoint) {
    this.podfs("umount", mountpoint);
    this.#mounts = this.#mounts.filter((other) => other !== mountpoint);
  }

  dispose() {
    for (const mountpoint of this.#mounts) {
      if (spawnSync(process.execPath, [PROGRAM, "umount", mountpoint], { env: this.environment }).status !== 0) {
        spawnSync("umount", ["-l", mountpoint]);
      }
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function shell(script, cwd) {
  return execFileSync("bash", ["--norc", "-euo", "pipefail", "-c", script], {
    cwd,
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
}

/** Seconds a synchronous action takes. */
export function seconds(action) {
  const start = process.hrtime.bigint();
  action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

export async function secondsAsync(action) {
  const start = process.hrtime.bigint();
  await action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * One fio job on one file. Returns bytes per second and operations per second.
 * Source of the options: fio(1); psync and one job, because that is what programs do.
 */
export function fio(file, { rw, blockSize, sizeMiB, runtimeSeconds, engine = "psync", invalidate = false }) {
  const args = [
    "--name=job",
    `--filename=${file}`,
    `--rw=${rw}`,
    `--bs=${blockSize}`,
    `--size=${sizeMiB}M`,
    `--ioengine=${engine}`,
    `--invalidate=${invalidate ? 1 : 0}`,
    "--fallocate=none",
    "--output-format=json",
    ...(runtimeSeconds === undefined ? [] : [`--runtime=${runtimeSeconds}`]),
  ];
  const output = execFileSync("fio", args, { encoding: "utf8" });
  const [job] = JSON.parse(output.slice(output.indexOf("{"))).jobs;
  const side = rw.includes("read") ? job.read : job.write;
  return { bytesPerSecond: side.bw_bytes, operationsPerSecond: side.iops };
}

/** A measured row: samples of us and of the yardstick, taken in turn, and the median of their ratios. */
export function ratioRow(name, target, unit, pairs) {
  const ratios = pairs.map(({ ours, yardstick }) => ours / yardstick);
  return {
    name,
    target,
    unit,
    ours: median(pairs.map((pair) => pair.ours)),
    yardstick: median(pairs.map((pair) => pair.yardstick)),
    ratio: median(ratios),
    ratios,
  };
}

export function printRows(rows) {
  for (const { name, target, unit, ours, yardstick, ratio } of rows) {
    const figures =
      yardstick === undefined
        ? `${format(ours)} ${unit}`
        : `${format(ours)} against ${format(yardstick)} ${unit}, ratio ${format(ratio)}`;
    console.log(`${name.padEnd(44)} ${figures.padEnd(60)} target ${target}`);
  }
}

function format(value) {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)}G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)}k`;
  return value.toFixed(value < 10 ? 3 : 1);
}
