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
  /**
   * Wall clock, milliseconds since 1970, as of the last tick: for file times. Like a local filesystem's: what happens within a
   * tick happens at the same time, and a change that changes nothing else then is none.
   */
  fileTimeMs(): number;
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
/** The kernel's own at 250 Hz, as most distributions build it. */
const FILE_TIME_TICK_MS = 4;

class SystemClock implements Clock {
  nowMs(): number {
    return Date.now();
  }

  fileTimeMs(): number {
    const nowMs = Date.now();
    return nowMs - (nowMs % FILE_TIME_TICK_MS);
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
