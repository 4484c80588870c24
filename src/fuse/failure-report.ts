import { type Clock, InvariantError } from "../base/index.js";
import { errnoOf, isAnswer } from "./errno.js";
import type { TransportLog } from "./transport.js";

/** The same failure is logged once in so long: a backend that is down fails thousands of requests a second. */
const REPEAT_AFTER_MS = 10_000;
const REMEMBERED_MAX = 200;

export interface FailureReportOptions {
  readonly log: TransportLog;
  readonly clock: Clock;
  onInvariant(error: Error): void;
}

/**
 * The one place where a failed request becomes an errno and, if it is more than an answer, a line in the log.
 */
export class FailureReport {
  readonly #options: FailureReportOptions;
  // When each message was logged last, and how often it was swallowed since; oldest first.
  readonly #logged = new Map<string, { atMs: number; swallowed: number }>();

  constructor(options: FailureReportOptions) {
    this.#options = options;
  }

  /** The errno, positive, of a request that failed. Never throws. */
  errno(error: unknown, operation: string, ino: number): number {
    if (error instanceof InvariantError) {
      this.#options.log.error({ err: error, operation, ino }, "a broken invariant stops the mount");
      this.#options.onInvariant(error);
    } else if (!isAnswer(error)) this.#log(error, operation, ino);
    return errnoOf(error);
  }

  #log(error: unknown, operation: string, ino: number): void {
    const key = `${operation}: ${error instanceof Error ? error.message : String(error)}`;
    const nowMs = this.#options.clock.monotonicMs();
    const before = this.#logged.get(key);
    if (before !== undefined && nowMs - before.atMs < REPEAT_AFTER_MS) {
      before.swallowed += 1;
      return;
    }
    this.#logged.delete(key);
    this.#logged.set(key, { atMs: nowMs, swallowed: 0 });
    const [oldest] = this.#logged.keys();
    if (this.#logged.size > REMEMBERED_MAX && oldest !== undefined) this.#logged.delete(oldest);
    const repeated = before?.swallowed ?? 0;
    this.#options.log.warn(
      { err: error, operation, ino, ...(repeated > 0 ? { repeated } : {}) },
      `${operation} failed`,
    );
  }
}
