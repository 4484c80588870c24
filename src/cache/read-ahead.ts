/** Blocks to fetch before they are asked for, and the one whose reading asks for more. */
export interface AheadRange {
  readonly first: number;
  readonly count: number;
  readonly trigger: number;
}

/** First window of a reader that seems to read on. */
const WINDOW_BLOCKS_MIN = 2;
/** A reader gets at most so many times what it has read: that is what one that stops there has cost in vain. */
const WINDOW_PER_RUN = 4;
/** The kernel sends several reads of one reader at once, and our threads tell of them in any order. */
const DISORDER_BLOCKS = 8;

/**
 * How far to fetch ahead of one file's readers. A reader that goes on where the last miss ended gets a window that
 * grows with what it has read; anything else is a random reader and gets what it asked for and nothing more.
 *
 * A full window moves in steps, so that as many requests are under way all the time, and none is a short one.
 *
 * Pure: blocks in, blocks out.
 */
export class ReadAhead {
  readonly #windowMax: number;
  readonly #step: number;
  /** Where this run of reading on began; undefined for a random reader. */
  #start: number | undefined;
  /** Where a sequential reader would miss next. */
  #next = 0;
  /** Fetched ahead up to here (exclusive). */
  #end = 0;

  /** @param blocks.step what one request brings */
  constructor(blocks: { readonly windowMax: number; readonly step: number }) {
    this.#windowMax = blocks.windowMax;
    this.#step = blocks.step;
  }

  /** Somebody waits for these blocks. */
  missed(first: number, count: number): AheadRange | undefined {
    const next = first + count;
    if (!this.#readsOn(first)) {
      this.#start = undefined;
      this.#next = next;
      this.#end = next;
      return undefined;
    }
    this.#start ??= first;
    this.#next = Math.max(this.#next, next);
    if (first <= this.#end) this.#end = Math.max(this.#end, next);
    return this.#extend(this.#start);
  }

  /** A reader has come to the trigger. */
  reached(block: number): AheadRange | undefined {
    if (this.#start === undefined || block >= this.#end) return undefined;
    this.#next = Math.max(this.#next, block);
    return this.#extend(this.#start);
  }

  #readsOn(first: number): boolean {
    if (this.#start === undefined) return first === this.#next;
    return first >= this.#next - DISORDER_BLOCKS && first <= Math.max(this.#next, this.#end) + DISORDER_BLOCKS;
  }

  #extend(start: number): AheadRange | undefined {
    const grown = WINDOW_PER_RUN * (this.#next - start - 1);
    const window = Math.min(Math.max(grown, WINDOW_BLOCKS_MIN), this.#windowMax);
    const first = this.#end;
    let count = this.#next + window - first;
    if (window >= 2 * this.#step) count -= count % this.#step;
    if (count <= 0) return undefined;
    this.#end = first + count;
    return { first, count, trigger: Math.min(first + Math.floor(count / 2), this.#next + this.#step) };
  }
}
