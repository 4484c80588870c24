import type { ContentId } from "../base/index.js";
import type { Metadata } from "../meta/index.js";

const NEXT_FACT = "cache.next-content-id";
/** Numbers taken from the record at once: a crash wastes up to this many of 2^53. */
const STRIDE = 4096;

/**
 * Hands out names of content files. A name is recorded as garbage before the file exists, so that whatever becomes of
 * it, the next mount finds and deletes it; who makes it somebody's content takes the mark off in the same transaction.
 */
export class ContentIds {
  readonly #metadata: Metadata;
  #next: number;
  #reserved: number;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
    this.#next = Number(metadata.fact(NEXT_FACT) ?? 1);
    this.#reserved = this.#next;
  }

  /** False when this cache directory's records are new (or were lost): any content file in it is a stranger. */
  static isKnown(metadata: Metadata): boolean {
    return metadata.fact(NEXT_FACT) !== undefined;
  }

  /** Starts above every id in `used`, in a cache directory whose records were lost. */
  static startAbove(metadata: Metadata, used: Iterable<ContentId>): void {
    let next = 1;
    for (const id of used) next = Math.max(next, id + 1);
    metadata.setFact(NEXT_FACT, String(next));
  }

  /** Ids from here on belong to this mount. */
  get next(): ContentId {
    return this.#next as ContentId;
  }

  /** New ids, marked as garbage. A memory operation. */
  reserve(count: number): ContentId[] {
    if (this.#next + count > this.#reserved) {
      this.#reserved = this.#next + Math.max(count, STRIDE);
      this.#metadata.setFact(NEXT_FACT, String(this.#reserved));
    }
    const ids = Array.from({ length: count }, () => this.#next++ as ContentId);
    this.#metadata.update((tx) => {
      for (const id of ids) tx.addGarbage(id);
    });
    return ids;
  }
}
