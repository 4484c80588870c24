/**
 * Preloaded beside loop-delay.mjs when `PODFS_BENCH_STALLS=DIR` is set: what a daemon's event loop was doing while it was held
 * up. When the daemon ends, `DIR/<pid>.json` has every stretch of {@link STALL_MS} or more (loop-stalls.mjs) with
 *
 * - `collections`: garbage collections in it, by kind, milliseconds;
 * - `functions`: milliseconds by function, callees included (V8's sampling profiler, clock of both: CLOCK_MONOTONIC);
 * - `faults`: page faults of the thread in it, `[without, with]` a read of the disk;
 * - `waits`: where the thread was seen to wait in the kernel, or `R` when it was seen running or ready, by a second thread
 *   that looks at /proc/self/task while the first one does not turn. A `futex_wait` is a lock or another thread.
 *
 * It slows the daemon down and makes stalls of its own: for causes, not for figures.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";
import { PerformanceObserver, performance } from "node:perf_hooks";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { LoopStalls } from "./loop-stalls.mjs";

const STALL_MS = 8;
const SAMPLE_MICROS = 500;
const WATCH_EVERY_MS = 2;
const FUNCTIONS_MAX = 20;

function trace(directory) {
  const collections = [];
  const waits = [];
  const stretches = [];
  new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ["gc"] });
  const lastTurnMs = new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT));
  startWatcher(lastTurnMs, waits);
  const profiler = startProfiler();
  let faultsBefore = pageFaults();
  new LoopStalls((stretch, endMs) => {
    lastTurnMs[0] = performance.timeOrigin + endMs;
    const faultsAfter = pageFaults();
    const faults = faultsAfter.map((count, index) => count - faultsBefore[index]);
    faultsBefore = faultsAfter;
    if (stretch.gapMs >= STALL_MS) stretches.push({ beganMs: endMs - stretch.gapMs, endMs, ...stretch, faults });
  });
  process.on("exit", () => {
    const samples = profiler.stop();
    const report = stretches.map((stretch) => ({
      ...stretch,
      collections: collections
        .filter((entry) => overlaps(entry, stretch))
        .map(({ detail, duration }) => [detail.kind, duration]),
      functions: timeByFunction(samples, stretch),
      waits: countByPlace(waits, stretch),
    }));
    writeFileSync(join(directory, `${process.pid}.json`), JSON.stringify(report, null, 1));
  });
}

/** Of the main thread so far: minor, major. Fields 10 and 12 of proc_pid_stat(5). */
function pageFaults() {
  const fields = readFileSync(`/proc/self/task/${process.pid}/stat`, "latin1").split(") ").at(-1).split(" ");
  return [Number(fields[7]), Number(fields[9])];
}

function overlaps({ startTime, duration }, { beganMs, endMs }) {
  return startTime < endMs && startTime + duration > beganMs;
}

function startProfiler() {
  const session = new Session();
  session.connect();
  // Of its own thread it answers at once.
  const ask = (method, parameters) => {
    let answer;
    session.post(`Profiler.${method}`, parameters, (_error, result) => {
      answer = result;
    });
    return answer;
  };
  ask("enable");
  ask("setSamplingInterval", { interval: SAMPLE_MICROS });
  ask("start");
  return { stop: () => samplesOf(ask("stop").profile) };
}

/** `{ atMs, stack }` of each sample, milliseconds as of performance.now(). */
function samplesOf({ nodes, samples, timeDeltas, startTime }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const stackOf = (id) => {
    const names = new Set();
    for (let at = id; at !== undefined; at = parents.get(at)) names.add(nameOf(byId.get(at)));
    return names;
  };
  const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  let atMicros = startTime;
  return samples.map((id, index) => {
    atMicros += timeDeltas[index];
    return { atMs: atMicros / 1000 - originMs, stack: stackOf(id) };
  });
}

function nameOf({ callFrame: { functionName, url, lineNumber } }) {
  return `${functionName || "anonymous"} ${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`;
}

function timeByFunction(samples, { beganMs, endMs }) {
  const times = new Map();
  let beforeMs = beganMs;
  for (const { atMs, stack } of samples) {
    if (atMs < beganMs || atMs > endMs) continue;
    for (const name of stack) times.set(name, (times.get(name) ?? 0) + atMs - beforeMs);
    beforeMs = atMs;
  }
  return Object.fromEntries([...times].toSorted(([, a], [, b]) => b - a).slice(0, FUNCTIONS_MAX));
}

function countByPlace(waits, { beganMs, endMs }) {
  const counts = {};
  for (const { atMs, place } of waits) {
    if (atMs >= beganMs && atMs <= endMs) counts[place] = (counts[place] ?? 0) + 1;
  }
  return counts;
}

function startWatcher(lastTurnMs, waits) {
  const watcher = new Worker(new URL(import.meta.url), {
    workerData: { watched: process.pid, lastTurnMs },
    execArgv: [],
  });
  watcher.on("message", ({ atMs, place }) => waits.push({ atMs: atMs - performance.timeOrigin, place }));
  watcher.unref();
}

/** In a thread of its own, for ever. The main thread's number is that of the process. */
function watch({ watched, lastTurnMs }) {
  const folder = `/proc/self/task/${watched}`;
  const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  for (;;) {
    Atomics.wait(pause, 0, 0, WATCH_EVERY_MS);
    const atMs = performance.timeOrigin + performance.now();
    if (atMs - lastTurnMs[0] < STALL_MS) continue;
    const state = readFileSync(`${folder}/stat`, "latin1").split(") ").at(-1)[0];
    parentPort.postMessage({ atMs, place: state === "R" ? state : `${state} ${kernelStack(folder)}` });
  }
}

/** Innermost first; for root only. */
function kernelStack(folder) {
  const lines = readFileSync(`${folder}/stack`, "latin1").trim().split("\n");
  return lines.map((line) => line.replace(/^\[<0>\] |\+0x.*$/g, "")).join(" < ");
}

const directory = process.env.PODFS_BENCH_STALLS;
if (workerData?.watched !== undefined) watch(workerData);
else if (directory && isMainThread && /\/daemon-main\.js$/.test(process.argv[1] ?? "")) trace(directory);
