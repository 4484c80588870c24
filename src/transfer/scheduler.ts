import { TransferError } from "./errors.js";
import type { Priority } from "./transfer.js";

/** Work that brings bytes in, and work that takes them out: each has places of its own, so that neither starves. */
export type Lane = "in" | "out";

interface Waiting {
  readonly start: () => void;
  readonly fail: (error: unknown) => void;
}

const PRIORITIES: readonly Priority[] = ["urgent", "normal", "background"];

/** One lane: at most `placesMax` jobs run; who waits is served by priority, then in order. */
class LanePlaces {
  readonly #placesMax: number;
  readonly #waiting: Record<Priority, Set<Waiting>> = { urgent: new Set(), normal: new Set(), background: new Set() };
  #running = 0;

  constructor(placesMax: number) {
    this.#placesMax = placesMax;
  }

  acquire(priority: Priority, signal: AbortSignal | undefined): Promise<void> {
    if (this.#mayStart(priority)) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const queue = this.#waiting[priority];
      const onAbort = (): void => {
        queue.delete(waiting);
        reject(signal?.reason);
      };
      const settled = (): void => signal?.removeEventListener("abort", onAbort);
      const waiting: Waiting = {
        start: () => {
          settled();
          resolve();
        },
        fail: (error) => {
          settled();
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      queue.add(waiting);
    });
  }

  release(): void {
    this.#running--;
    for (const priority of PRIORITIES) {
      const [next] = this.#waiting[priority];
      if (next === undefined) continue;
      if (!this.#mayStart(priority)) return;
      this.#waiting[priority].delete(next);
      this.#running++;
      next.start();
      return;
    }
  }

  failWaiting(error: unknown): void {
    for (const priority of PRIORITIES) {
      for (const waiting of this.#waiting[priority]) waiting.fail(error);
      this.#waiting[priority].clear();
    }
  }

  /** The last place is kept for who is waited for: a blocked reader must not queue behind read-ahead. */
  #mayStart(priority: Priority): boolean {
    const reserved = priority === "urgent" || this.#placesMax === 1 ? 0 : 1;
    return this.#running < this.#placesMax - reserved;
  }
}

/**
 * Decides which job goes to a worker thread next. The pool's own queue stays empty, so that an urgent job never finds
 * itself behind others that were handed over earlier.
 */
export class Scheduler {
  readonly #lanes: Readonly<Record<Lane, LanePlaces>>;
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  constructor(placesMax: Readonly<Record<Lane, number>>) {
    this.#lanes = { in: new LanePlaces(placesMax.in), out: new LanePlaces(placesMax.out) };
  }

  /** @throws the signal's reason when it aborts before there is a place; TransferError worker after {@link close}. */
  async run<T>(lane: Lane, priority: Priority, signal: AbortSignal | undefined, job: () => Promise<T>): Promise<T> {
    if (this.#closed) throw closedError();
    signal?.throwIfAborted();
    const places = this.#lanes[lane];
    await places.acquire(priority, signal);
    if (this.#closed) {
      places.release();
      throw closedError();
    }
    const running = job();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
      places.release();
    }
  }

  /** No job starts any more; those that wait fail. Resolves when those under way have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const places of Object.values(this.#lanes)) places.failWaiting(closedError());
    await Promise.allSettled([...this.#running]);
  }
}

function closedError(): TransferError {
  return new TransferError("worker", "the mount is being ended: no more transfers");
}
