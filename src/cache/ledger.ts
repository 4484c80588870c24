import type { Ino } from "../base/index.js";
import type { Metadata } from "../meta/index.js";
import { type Counted, countOf, NOTHING_COUNTED } from "./local-images.js";

const SLICE = 512;

/**
 * What the cache takes on the disk: sums that change with every file, never a list of files.
 *
 * Invariants: #files and #dirty are sums over the files that have a record or are open, of what was last counted for
 * each; #held is everything else: mirrors, fetches under way, files that wait to be deleted.
 */
export class Ledger {
  #files = 0;
  #dirty = 0;
  #held = 0;
  readonly #listeners = new Set<() => void>();
  #recount: { upTo: number; files: number; dirty: number } | undefined;

  get usedBytes(): number {
    return this.#files + this.#held;
  }

  /** What {@link restore} takes. */
  get files(): Counted {
    return { bytes: this.#files, dirtyBytes: this.#dirty };
  }

  get dirtyBytes(): number {
    return this.#dirty;
  }

  /** Sets both, from an earlier mount's record. */
  restore(counted: Counted): void {
    this.#files = counted.bytes;
    this.#dirty = counted.dirtyBytes;
  }

  /** One file counts differently from now on. */
  move(ino: Ino, from: Counted, to: Counted): void {
    const bytes = to.bytes - from.bytes;
    const dirtyBytes = to.dirtyBytes - from.dirtyBytes;
    if (bytes === 0 && dirtyBytes === 0) return;
    this.#files += bytes;
    this.#dirty += dirtyBytes;
    if (this.#recount !== undefined && ino <= this.#recount.upTo) {
      this.#recount.files += bytes;
      this.#recount.dirty += dirtyBytes;
    }
    if (bytes < 0 || dirtyBytes < 0) this.#notify();
  }

  /** Bytes that are about to be on the disk, or are there but are no file's. Returns what takes them off again. */
  hold(bytes: number): () => void {
    this.#held += bytes;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#held -= bytes;
      this.#notify();
    };
  }

  /** A file is nobody's any more, but still on the disk. Returns what to call when it is not. */
  discard(ino: Ino, counted: Counted): () => void {
    this.move(ino, counted, NOTHING_COUNTED);
    return this.hold(counted.bytes);
  }

  /** Hears when something became less. Returns what ends that. */
  onLess(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Adds up all files afresh, a slice at a time, while others go on: after a crash, when the sums were not recorded.
   * `openCount` tells what is counted for a file that is open.
   */
  async recount(metadata: Metadata, openCount: (ino: Ino) => Counted | undefined, signal: AbortSignal): Promise<void> {
    // Changes of files up to `upTo` are added as they come; the others are read when the scan gets there.
    const recount = { upTo: 0, files: 0, dirty: 0 };
    this.#recount = recount;
    for (let after: Ino | undefined; !signal.aborted; ) {
      const slice = metadata.localFiles(after, SLICE);
      for (const [ino, local] of slice) {
        const { bytes, dirtyBytes } = openCount(ino) ?? countOf(local);
        recount.files += bytes;
        recount.dirty += dirtyBytes;
        after = ino;
      }
      recount.upTo = slice.length < SLICE ? Number.POSITIVE_INFINITY : (after ?? 0);
      if (slice.length < SLICE) {
        this.#files = recount.files;
        this.#dirty = recount.dirty;
        this.#notify();
        break;
      }
      await new Promise(setImmediate);
    }
    this.#recount = undefined;
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
