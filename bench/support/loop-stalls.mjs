/**
 * What an event loop's time went into, stretch by stretch: which part of a stall is the program's, and which is that of
 * whoever had the processors meanwhile.
 *
 * A timer looks every few milliseconds. What lies between two looks is split by what the kernel counts for the thread
 * (/proc/self/schedstat: time on a processor, time ready to run without one, times it was given one; Documentation/scheduler/sched-stats.rst)
 * and by what libuv counts as waiting for events. A busy loop shows as processor time, a wait for a lock or a disk as what
 * is left, a processor that others have as neither: test/bench/loop-stalls.test.ts.
 */
import { openSync, readSync } from "node:fs";
import { performance } from "node:perf_hooks";

/** A look is a read of some microseconds. */
const LOOK_EVERY_MS = 2;
/** Stretches in which the program itself held the loop up for less are not kept one by one. */
export const KEPT_MS = 5;
const NOTHING = { gapMs: 0, idleMs: 0, cpuMs: 0, queueMs: 0, stolenMs: 0, ownMs: 0 };

/**
 * @typedef {object} Stretch  between two looks, in milliseconds
 * @property {number} gapMs     wall clock
 * @property {number} idleMs    of it, waiting for events; also for a processor once there was one
 * @property {number} cpuMs     on a processor
 * @property {number} queueMs   ready to run, and others had the processors
 * @property {number} stolenMs  none of these, although it never left its processor: the hypervisor had that one
 * @property {number} ownMs     busy without those two: computing, or waiting for a lock or a disk in the middle of it
 */

/** Watches the loop of the main thread from its construction on. */
export class LoopStalls {
  #schedstat = openSync("/proc/self/schedstat", "r");
  #buffer = Buffer.alloc(64);
  #last = this.#read();
  /** @type {Stretch} the one with the most of its own, and the longest */
  #worst = NOTHING;
  #longest = NOTHING;
  #onStretch;

  /** @param onStretch told of every stretch, and when it ended, as performance.now() counts */
  constructor(onStretch = () => {}) {
    this.#onStretch = onStretch;
    setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** @returns {{ worst: Stretch, longest: Stretch }} since the last call, which need not be the same stretch */
  take() {
    this.#look();
    const taken = { worst: this.#worst, longest: this.#longest };
    this.reset();
    return taken;
  }

  /** What was until now does not count. */
  reset() {
    this.#last = this.#read();
    this.#worst = NOTHING;
    this.#longest = NOTHING;
  }

  #look() {
    const now = this.#read();
    const stretch = stretchBetween(this.#last, now);
    this.#last = now;
    this.#onStretch(stretch, now.atMs);
    if (stretch.ownMs > this.#worst.ownMs) this.#worst = stretch;
    if (stretch.gapMs > this.#longest.gapMs) this.#longest = stretch;
  }

  #read() {
    const length = readSync(this.#schedstat, this.#buffer, 0, this.#buffer.length, 0);
    const [cpuNs, queueNs, turns] = this.#buffer.latin1Slice(0, length).split(" ").map(Number);
    const { idleTime } = performance.nodeTiming;
    return { atMs: performance.now(), idleMs: idleTime, cpuMs: cpuNs / 1e6, queueMs: queueNs / 1e6, turns };
  }
}

/** @returns {Stretch} */
function stretchBetween(before, after) {
  const gapMs = after.atMs - before.atMs;
  const idleMs = after.idleMs - before.idleMs;
  const cpuMs = after.cpuMs - before.cpuMs;
  const queueMs = after.queueMs - before.queueMs;
  const rest = Math.max(0, gapMs - idleMs - cpuMs - queueMs);
  // A thread that waits gives its processor away and is given one again afterwards. If it was given one, nobody can say what
  // the rest was.
  const stolenMs = after.turns === before.turns ? rest : 0;
  // Some of the waiting for a processor may lie in idleMs, so the difference alone could be too little.
  const ownMs = Math.max(cpuMs, gapMs - idleMs - queueMs - stolenMs);
  return { gapMs, idleMs, cpuMs, queueMs, stolenMs, ownMs };
}
