/** Blocks to fetch before they are asked for, and the one whose reading asks for more. */
export interface AheadRange {
  readonly first: number;
  readonly count: number;
  readonly trigger: number;
}

/** First window of a reader that seems to read on. */
const WINDOW_BLOCKS_MIN = 2;

/**
 * How far to fetch ahead of one file's readers. A reader that goes on where the last miss ended gets a window that
 * doubles; anything else is a random reader and gets what it asked for and nothing more.
 *
 * Pure: blocks in, blocks out.
 */
export class ReadAhead {
  readonly #windowMax: number;
  /** Where a sequential reader would miss next. */
  #expected = 0;
  /** Fetched ahead up to here (exclusive). */
  #end = 0;
  #window = 0;

  constructor(windowBlocksMax: number) {
    this.#windowMax = windowBlocksMax;
  }

  /** Somebody waits for these blocks. */
  missed(first: number, count: number): AheadRange | undefined {
    const next = first + count;
    const sequential = first >= this.#expected && first <= Math.max(this.#expected, this.#end);
    this.#expected = next;
    if (!sequential) {
      this.#window = 0;
      this.#end = next;
      return undefined;
    }
    this.#grow();
    return this.#extend(Math.max(next, this.#end), next + this.#window);
  }

  /** A reader has come to the trigger. */
  reached(block: number): AheadRange | undefined {
    if (this.#window === 0 || block >= this.#end) return undefined;
    this.#grow();
    this.#expected = Math.max(this.#expected, block);
    return this.#extend(this.#end, block + this.#window);
  }

  #grow(): void {
    this.#window = Math.min(Math.max(this.#window * 2, WINDOW_BLOCKS_MIN), this.#windowMax);
  }

  #extend(first: number, end: number): AheadRange | undefined {
    if (end <= first) return undefined;
    this.#end = end;
    return { first, count: end - first, trigger: first + Math.floor((end - first) / 2) };
  }
}
