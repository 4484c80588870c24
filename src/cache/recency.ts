import type { Clock, Ino } from "../base/index.js";
import type { Metadata } from "../meta/index.js";

/** Recorded in one go, which holds the event loop up for a few milliseconds. */
const PENDING_MAX = 512;

/**
 * When files were last used: remembered here first and recorded in batches, because a transaction per open file would
 * cost more than the opening.
 */
export class Recency {
  readonly #metadata: Metadata;
  readonly #clock: Clock;
  readonly #pending = new Map<Ino, number>();

  constructor(metadata: Metadata, clock: Clock) {
    this.#metadata = metadata;
    this.#clock = clock;
  }

  touch(ino: Ino): void {
    this.#pending.set(ino, this.#clock.nowMs());
    if (this.#pending.size >= PENDING_MAX) this.flush();
  }

  /** When it was used last by somebody whose use is not recorded yet, if by anybody. */
  get(ino: Ino): number | undefined {
    return this.#pending.get(ino);
  }

  flush(): void {
    if (this.#pending.size === 0) return;
    this.#metadata.update((tx) => {
      for (const [ino, lastUsedMs] of this.#pending) {
        const local = tx.local(ino);
        // A writer who came later has recorded when he went.
        if (local !== undefined && local.lastUsedMs < lastUsedMs) tx.putLocal(ino, { ...local, lastUsedMs });
      }
    });
    this.#pending.clear();
  }
}
