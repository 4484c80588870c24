import { performance } from "node:perf_hooks";

/**
 * How long background work may hold up one turn of the event loop: requests of the kernel wait meanwhile. DESIGN, section 10,
 * allows 20 ms for all that a turn does.
 */
const SHARE_MS = 4;

/** When the share of this turn is used up; undefined when nobody has asked yet. */
let endsMs: number | undefined;

/**
 * For background work on many records: to be awaited between one and the next. Undefined while there is time; else a promise
 * for the next turn of the event loop.
 *
 * By the clock, because what a record costs differs tenfold between a first use and the thousandth; and all that runs in a
 * turn shares it, because five jobs of 4 ms are a stall. Everybody gets on by one record a turn at least.
 */
export function shareLoop(): Promise<void> | undefined {
  const nowMs = performance.now();
  if (endsMs === undefined) {
    endsMs = nowMs + SHARE_MS;
    // Timers come once in a turn. An immediate would end a share that was taken while requests were read in the same turn.
    setTimeout(() => {
      endsMs = undefined;
    }).unref();
  }
  return nowMs < endsMs ? undefined : new Promise((resume) => setImmediate(resume));
}
