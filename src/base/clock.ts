import { performance } from "node:perf_hooks";

/** A timer that has been set; cancelling one that has fired does nothing. */
export interface Timer {
  cancel(): void;
}

/**
 * Time and chance, as everything above `base/` sees them: tests put their own in, and drive them.
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970: for dates and what other machines compare (leases). May jump. */
  nowMs(): number;
  /** Wall clock, nanoseconds since 1970: for file times. Does not run backwards unless the machine's clock is set back. */
  nowNs(): bigint;
  /** Milliseconds since some fixed moment, never running backwards: for durations and deadlines. */
  monotonicMs(): number;
  /** Resolves after `delayMs`. @throws the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` once after `delayMs`. A pending timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Uniform in [0, 1). Not for secrets. */
  random(): number;
}

const DELAY_MS_MAX = 0x7fff_ffff; // setTimeout fires at once for anything longer.
const WALL_DRIFT_NS_MAX = 2_000_000n;

class SystemClock implements Clock {
  // Invariant: wall time is #anchorWallNs plus what hrtime has advanced since #anchorHrNs, within WALL_DRIFT_NS_MAX.
  #anchorWallNs = BigInt(Date.now()) * 1_000_000n;
  #anchorHrNs = process.hrtime.bigint();

  nowMs(): number {
    return Date.now();
  }

  /** Node has no clock_gettime(CLOCK_REALTIME): Date.now() gives the milliseconds, hrtime what lies between them. */
  nowNs(): bigint {
    const hrNs = process.hrtime.bigint();
    const wallNs = BigInt(Date.now()) * 1_000_000n;
    const nowNs = this.#anchorWallNs + (hrNs - this.#anchorHrNs);
    const driftNs = nowNs - wallNs;
    if (driftNs <= WALL_DRIFT_NS_MAX && driftNs >= -WALL_DRIFT_NS_MAX) return nowNs;
    this.#anchorWallNs = wallNs;
    this.#anchorHrNs = hrNs;
    return wallNs;
  }

  monotonicMs(): number {
    return performance.now();
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as unknown);
        return;
      }
      const onAbort = () => {
        clearTimeout(timeout);
        reject(signal?.reason as unknown);
      };
      const timeout = setTimeout(
        () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
        Math.min(delayMs, DELAY_MS_MAX),
      );
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timeout = setTimeout(callback, Math.min(delayMs, DELAY_MS_MAX));
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  }

  random(): number {
    return Math.random();
  }
}

/** The machine's own clock. */
export const systemClock: Clock = new SystemClock();
