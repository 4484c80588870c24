import { formatBytes } from "../base/index.js";
import { StagingError } from "./errors.js";

/** One is written while the other is filled. */
export const SLOTS_MIN = 2;

/** What a client gets. */
export interface RingGrant {
  readonly slots: number;
  readonly slotBytes: number;
  /** Gives it back. Idempotent. */
  release(): void;
}

/**
 * The memory that all rings of a mount may take together. A client that asks for a lot gets half of what is left, so that
 * those who come after it find something; clients of the usual size never notice.
 *
 * Invariant: #usedBytes is the sum of the grants that have not been released, and at most {@link limitBytes}.
 */
export class RingBudget {
  readonly limitBytes: number;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @throws StagingError no-memory when not even {@link SLOTS_MIN} slots are left. */
  take(wanted: { readonly slots: number; readonly slotBytes: number }): RingGrant {
    const { slotBytes } = wanted;
    const leftBytes = this.limitBytes - this.#usedBytes;
    if (leftBytes < SLOTS_MIN * slotBytes) {
      throw new StagingError(
        "no-memory",
        `${formatBytes(this.#usedBytes)} of ${formatBytes(this.limitBytes)} of staging memory are in use (--staging-memory), ` +
          `and ${SLOTS_MIN} buffers of ${formatBytes(slotBytes)} do not fit any more`,
      );
    }
    const share = Math.max(SLOTS_MIN, Math.floor(leftBytes / 2 / slotBytes));
    const slots = Math.min(wanted.slots, share);
    const bytes = slots * slotBytes;
    this.#usedBytes += bytes;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      this.#usedBytes -= bytes;
    };
    return { slots, slotBytes, release };
  }
}
