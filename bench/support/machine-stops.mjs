/**
 * Which part of a stall was the whole machine standing still. A virtual machine can be stopped by its host with nothing said:
 * whoever ran then has the time as processor time (docs/decisions/0010). Idle processes see it, one bound to each processor: when
 * all of them are late at once, and none waits for its processor, nobody computed.
 *
 * All of it errs in one direction, too little: what is left stays an upper bound of what is the program's.
 */
import { LOOK_EVERY_MS } from "./loop-stalls.mjs";

/** Shorter stretches are not kept, by nobody. */
export const KEPT_MS = 5;
/** A timer of libuv is not late before that: it counts whole milliseconds. */
const DUE_AFTER_MS = LOOK_EVERY_MS + 1;

/**
 * @typedef {import("./loop-stalls.mjs").Stretch & { beganMs: number, endMs: number }} KeptStretch  CLOCK_MONOTONIC, which all
 *   processes share
 */

/**
 * The longest of a program's stretches by its own part, without what the machine stood still in it.
 *
 * @param {{ worst: import("./loop-stalls.mjs").Stretch, stretches: readonly KeptStretch[] }} program
 * @param {readonly (readonly KeptStretch[])[]} idle  of each processor's idle process; none: nothing is known of the machine
 */
export function ownMsWithoutStops({ worst, stretches }, idle) {
  const stops = commonStops(idle);
  const own = stretches.map((stretch) => stretch.ownMs - stoppedMs(stretch, stops));
  return Math.max(Math.min(worst.ownMs, KEPT_MS), ...own);
}

/**
 * How much of the own part of a stretch the machine stood still, at least. Where in the stretch its other parts lie is not
 * known, so as much of the stop as they could cover counts as theirs.
 */
function stoppedMs({ beganMs, endMs, gapMs, ownMs }, stops) {
  const stopped = stops
    .map((stop) => Math.min(stop.endMs, endMs) - Math.max(stop.beganMs, beganMs) - stop.queueMs)
    .filter((ms) => ms > 0);
  const totalMs = stopped.reduce((sum, ms) => sum + ms, 0);
  return Math.max(0, totalMs - Math.max(0, gapMs - ownMs));
}

/** When the idle processes of all processors were late, and what any of them waited for its processor meanwhile. */
function commonStops(idle) {
  const [first = [], ...others] = idle.map((stretches) => stretches.map(lateness));
  return others.reduce((common, stops) => common.flatMap((stop) => stops.flatMap((other) => both(stop, other))), first);
}

/** The time after its timer was due. What lies before may have been any wait. */
function lateness({ beganMs, endMs, queueMs }) {
  return { beganMs: beganMs + DUE_AFTER_MS, endMs, queueMs };
}

/** @returns one stop or none. The waits add up, since they need not have been at the same time */
function both(one, other) {
  const beganMs = Math.max(one.beganMs, other.beganMs);
  const endMs = Math.min(one.endMs, other.endMs);
  return endMs > beganMs ? [{ beganMs, endMs, queueMs: one.queueMs + other.queueMs }] : [];
}
