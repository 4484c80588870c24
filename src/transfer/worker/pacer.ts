import { performance } from "node:perf_hooks";

/** How long a thread computes before it looks at its sockets again. */
const TURN_MS = 5;

/**
 * Interleaves the jobs of one thread: a pack of 64 MiB takes a tenth of a second to encode, and the fetch that a reader
 * waits for must not.
 */
export class Pacer {
  #turnEndsMs = performance.now() + TURN_MS;

  /** Gives the thread's event loop a turn if this job has had its share. */
  async turn(): Promise<void> {
    if (performance.now() < this.#turnEndsMs) return;
    await new Promise(setImmediate);
    this.#turnEndsMs = performance.now() + TURN_MS;
  }
}
