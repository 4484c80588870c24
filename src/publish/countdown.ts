import { Deferred, ignore } from "../base/index.js";
import type { Waiter } from "./dirty-file.js";

/** Waits for many uploads: a promise for each of a hundred thousand files would be a turn of the event loop by itself. */
export class Countdown implements Waiter {
  readonly #done = new Deferred();
  // One for those that are still to be added.
  #left = 1;

  constructor() {
    // It may fail before anybody waits.
    this.#done.promise.catch(ignore);
  }

  /** @returns what one more upload settles */
  another(): Waiter {
    this.#left++;
    return this;
  }

  /** Resolves when all have been; rejects with the first that does. None is added any more. */
  all(): Promise<void> {
    this.resolve();
    return this.#done.promise;
  }

  resolve(): void {
    if (--this.#left === 0) this.#done.resolve();
  }

  reject(error: unknown): void {
    this.#done.reject(error);
  }
}
