/**
 * Preloaded into the daemon (`node --import`, through NODE_OPTIONS): how long its event loop was held up, read out by
 * signal. SIGUSR2 writes `$PODFS_BENCH_LOOP_DIR/<pid>.<n>.json` with the figures since the last one, and starts anew.
 *
 * Run as a program it does nothing but that: what the same machine does to a process that has nothing to do.
 *
 * Source: https://nodejs.org/docs/latest-v20.x/api/perf_hooks.html, monitorEventLoopDelay. It samples natively, by a
 * timer of 1 ms: figures contain that millisecond.
 */
import { openSync, readSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";

/** Rare enough to cost nothing: a read of a few microseconds each time. */
const LOOK_EVERY_MS = 4;
const schedstat = openSync("/proc/self/schedstat", "r");
const buffer = Buffer.alloc(64);

function monitor(directory) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const ownDelay = new OwnDelay();
  let number = 0;
  let since = { cpu: process.cpuUsage(), queueNs: runQueueNs(), ms: performance.now() };
  process.on("SIGUSR2", () => {
    const now = { cpu: process.cpuUsage(), queueNs: runQueueNs(), ms: performance.now() };
    const report = {
      maxMs: histogram.max / 1e6,
      p99Ms: histogram.percentile(99) / 1e6,
      p50Ms: histogram.percentile(50) / 1e6,
      samples: histogram.count,
      elapsedMs: now.ms - since.ms,
      /** Of all threads. */
      cpuMs: (now.cpu.user + now.cpu.system - since.cpu.user - since.cpu.system) / 1e3,
      /** How long the main thread could have run and had no processor: delays that are not its own. */
      runQueueMs: (now.queueNs - since.queueNs) / 1e6,
      /** The longest delay without such time in it. */
      ownMaxMs: ownDelay.take(),
      memory: process.memoryUsage(),
    };
    const path = join(directory, `${process.pid}.${number++}.json`);
    writeFileSync(`${path}.tmp`, JSON.stringify(report));
    renameSync(`${path}.tmp`, path);
    since = now;
    histogram.reset();
  });
  if (process.argv[1].endsWith("loop-delay.mjs")) {
    setInterval(() => {}, 1 << 30);
    console.log("ready");
  }
}

/** Watches for delays by a timer in JavaScript, which can ask at once whether the thread had a processor meanwhile. */
class OwnDelay {
  #maxMs = 0;
  #lastMs = performance.now();
  #lastQueueNs = runQueueNs();

  constructor() {
    setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  take() {
    this.#look();
    const maxMs = this.#maxMs;
    this.#maxMs = 0;
    return maxMs;
  }

  #look() {
    const nowMs = performance.now();
    const queueNs = runQueueNs();
    const waitedMs = (queueNs - this.#lastQueueNs) / 1e6;
    this.#maxMs = Math.max(this.#maxMs, nowMs - this.#lastMs - LOOK_EVERY_MS - waitedMs);
    this.#lastMs = nowMs;
    this.#lastQueueNs = queueNs;
  }
}

/** Nanoseconds the main thread has waited for a processor: Documentation/scheduler/sched-stats.rst. */
function runQueueNs() {
  const length = readSync(schedstat, buffer, 0, buffer.length, 0);
  return Number(buffer.latin1Slice(0, length).split(" ")[1]);
}

const directory = process.env.PODFS_BENCH_LOOP_DIR;
// NODE_OPTIONS also reaches the command that starts the daemon, its workers, and whatever they start.
const isMeant = /\/(daemon-main\.js|loop-delay\.mjs)$/.test(process.argv[1] ?? "");
if (directory !== undefined && isMeant && isMainThread) monitor(directory);
