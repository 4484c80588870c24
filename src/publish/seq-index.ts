import type { OpSeq } from "../base/index.js";

const NONE: Iterable<OpSeq> = [];

/**
 * Operations by something they touch. Most such things are touched by one operation, which is kept as it is: a set for each
 * would be most of the memory that a pending operation takes.
 */
export class SeqIndex<Term> {
  readonly #seqs = new Map<Term, OpSeq | Set<OpSeq>>();

  add(term: Term, seq: OpSeq): void {
    const found = this.#seqs.get(term);
    if (found === undefined) this.#seqs.set(term, seq);
    else if (typeof found === "object") found.add(seq);
    else if (found !== seq) this.#seqs.set(term, new Set([found, seq]));
  }

  delete(term: Term, seq: OpSeq): void {
    const found = this.#seqs.get(term);
    if (typeof found === "object") {
      found.delete(seq);
      if (found.size === 0) this.#seqs.delete(term);
    } else if (found === seq) this.#seqs.delete(term);
  }

  /** In the order in which they were added. Some may be added or deleted while it is walked. */
  get(term: Term): Iterable<OpSeq> {
    const found = this.#seqs.get(term) ?? NONE;
    return typeof found === "object" ? found : [found];
  }
}
