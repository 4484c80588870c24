import type { Clock } from "../base/index.js";

/** Seconds and nanoseconds since 1970: exact, and cheaper than bigint on the hot path. */
export interface Time {
  readonly sec: number;
  readonly nsec: number;
}

const NSEC_PER_MS = 1_000_000;

/** @param ms whole milliseconds since 1970 */
export function timeOfMs(ms: number): Time {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: (ms - sec * 1000) * NSEC_PER_MS };
}

/** The clock's time for files. */
export function nowOf(clock: Clock): Time {
  return timeOfMs(clock.fileTimeMs());
}

export function isSameTime(a: Time, b: Time): boolean {
  return a.sec === b.sec && a.nsec === b.nsec;
}
