/**
 * Preloaded into the daemon (`node --import`, through NODE_OPTIONS): how long its event loop was held up, read out by
 * signal. SIGUSR2 writes `$PODFS_BENCH_LOOP_DIR/<pid>.<n>.json` with the figures since the last one, and starts anew.
 *
 * Run as a program it does nothing but that: what the same machine does to a process that has nothing to do.
 *
 * Source: https://nodejs.org/docs/latest-v20.x/api/perf_hooks.html, monitorEventLoopDelay. It samples natively, by a
 * timer of 1 ms: figures contain that millisecond.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";
import { KEPT_MS, LoopStalls } from "./loop-stalls.mjs";

const isProgram = (process.argv[1] ?? "").endsWith("loop-delay.mjs");

function monitor(directory) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const kept = [];
  const stalls = new LoopStalls(keepIn(kept));
  let number = 0;
  let since = { cpu: process.cpuUsage(), ms: performance.now() };
  process.on("SIGUSR2", () => {
    const { worst, longest } = stalls.take();
    const now = { cpu: process.cpuUsage(), ms: performance.now() };
    const report = {
      maxMs: histogram.max / 1e6,
      p99Ms: histogram.percentile(99) / 1e6,
      p50Ms: histogram.percentile(50) / 1e6,
      samples: histogram.count,
      elapsedMs: now.ms - since.ms,
      /** Of all threads. */
      cpuMs: (now.cpu.user + now.cpu.system - since.cpu.user - since.cpu.system) / 1e3,
      /** The stretch of time in which the program itself held the loop up the longest, and the longest of all. */
      worst,
      longest,
      /** Those that the program held up, with their times: machine-stops.mjs. */
      stretches: kept,
      memory: process.memoryUsage(),
    };
    const path = join(directory, `${process.pid}.${number++}.json`);
    writeFileSync(`${path}.tmp`, JSON.stringify(report));
    renameSync(`${path}.tmp`, path);
    // Writing that is not the daemon's doing.
    since = { cpu: process.cpuUsage(), ms: performance.now() };
    histogram.reset();
    stalls.reset();
    kept.length = 0;
  });
  if (isProgram) {
    setInterval(() => {}, 1 << 30);
    console.log("ready");
  }
}

function keepIn(kept) {
  // CLOCK_MONOTONIC, which other processes can compare with theirs.
  const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return (stretch, atMs) => {
    if (stretch.ownMs < KEPT_MS) return;
    const endMs = originMs + atMs;
    kept.push({ beganMs: endMs - stretch.gapMs, endMs, ...stretch });
  };
}

const directory = process.env.PODFS_BENCH_LOOP_DIR;
// NODE_OPTIONS also reaches the command that starts the daemon, its workers, and whatever they start.
const isMeant = /\/(daemon-main\.js|loop-delay\.mjs)$/.test(process.argv[1] ?? "");
if (directory !== undefined && isMeant && isMainThread) monitor(directory);
