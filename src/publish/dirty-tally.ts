import type { Ino } from "../base/index.js";
import type { DirtyFile } from "./dirty-file.js";

export interface DirtyTotals {
  readonly files: number;
  readonly bytes: number;
  /** When the first byte was written that the volume does not have, ms since 1970; undefined without files. */
  readonly oldestMs: number | undefined;
}

/**
 * How much the volume does not have, for the status. It is counted while files come and go, because somebody may ask
 * when they are a hundred thousand; only open ones are looked at then.
 */
export class DirtyTally {
  readonly #sizeOfOpen: (ino: Ino) => number;
  /**
   * By when they became dirty, which is the order they come in. One that was written during its upload comes again, after
   * those that became dirty meanwhile.
   */
  readonly #sinceMs = new Map<DirtyFile, number>();
  readonly #open = new Set<DirtyFile>();
  #closedBytes = 0;

  constructor(sizeOfOpen: (ino: Ino) => number) {
    this.#sizeOfOpen = sizeOfOpen;
  }

  /** Counts the file as it is now. */
  enter(file: DirtyFile): void {
    const { dirtySinceMs } = file;
    if (this.#sinceMs.get(file) !== dirtySinceMs) this.#sinceMs.delete(file);
    if (dirtySinceMs === undefined) return;
    this.#sinceMs.set(file, dirtySinceMs);
    if (file.isOpen) this.#open.add(file);
    else this.#closedBytes += file.bytes;
  }

  /** To be called before anything of the file changes. {@link enter} follows. */
  leave(file: DirtyFile): void {
    if (file.dirtySinceMs === undefined) return;
    if (file.isOpen) this.#open.delete(file);
    else this.#closedBytes -= file.bytes;
  }

  remove(file: DirtyFile): void {
    this.leave(file);
    this.#sinceMs.delete(file);
  }

  totals(): DirtyTotals {
    let bytes = this.#closedBytes;
    let [oldestMs] = this.#sinceMs.values();
    for (const file of this.#open) {
      bytes += this.#sizeOfOpen(file.ino);
      const sinceMs = this.#sinceMs.get(file);
      if (sinceMs !== undefined && oldestMs !== undefined) oldestMs = Math.min(oldestMs, sinceMs);
    }
    return { files: this.#sinceMs.size, bytes, oldestMs };
  }
}
