interface Range {
  begin: number;
  end: number;
}

/**
 * Which bytes of a file have been handed in. A file that is written once, in any order, ends as one range: what remains of
 * it in between are as many ranges as there are gaps.
 *
 * Invariant: ranges are in order, not empty, and do not touch.
 */
export class Coverage {
  readonly #sizeBytes: number;
  readonly #ranges: Range[] = [];

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  /**
   * @param begin inclusive, `end` exclusive, within the file.
   * @returns false, with nothing changed, when some of it was there already
   */
  add(begin: number, end: number): boolean {
    const at = this.#firstEndingFrom(begin);
    const next = this.#ranges[at];
    // `next` may end where this begins: then it is the neighbour before.
    const before = next?.end === begin ? next : undefined;
    const after = before === undefined ? next : this.#ranges[at + 1];
    if (after !== undefined && after.begin < end) return false;
    if (after?.begin === end) {
      after.begin = before?.begin ?? begin;
      if (before !== undefined) this.#ranges.splice(at, 1);
    } else if (before !== undefined) before.end = end;
    else this.#ranges.splice(at, 0, { begin, end });
    return true;
  }

  /** The first bytes that are missing; undefined when none are. */
  firstGap(): { readonly begin: number; readonly end: number } | undefined {
    const [first, second] = this.#ranges;
    if (first === undefined) return this.#sizeBytes === 0 ? undefined : { begin: 0, end: this.#sizeBytes };
    if (first.begin > 0) return { begin: 0, end: first.begin };
    if (first.end === this.#sizeBytes) return undefined;
    return { begin: first.end, end: second?.begin ?? this.#sizeBytes };
  }

  /** Index of the first range that ends at `position` or later. */
  #firstEndingFrom(position: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && range.end < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
