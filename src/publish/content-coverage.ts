import type { Ino, OpSeq } from "../base/index.js";

/**
 * Whether an operation may be published that makes a file visible:
 * - `ready`: the volume has, or gets in the same segment, a content of the file as new as the operation.
 * - `with-removal`: the file has been removed before that could be; only together with its removal, or readers would see
 *   it empty.
 * - `waiting`: the file's upload comes first.
 */
export type Readiness = "ready" | "with-removal" | "waiting";

export interface CoverageQuestions {
  /** Whether the file has to be uploaded, or may have to. */
  isDirty(ino: Ino): boolean;
  exists(ino: Ino): boolean;
  /** Whether an operation is pending that makes the file visible. */
  isContentNeeded(ino: Ino): boolean;
}

/** Up to which operation the volume has, or gets from what is pending, the contents of files. */
export class ContentCoverage {
  readonly #ask: CoverageQuestions;
  /**
   * Of files that are dirty, and of those that were removed dirty: the last operation whose effect on the file's content is
   * recorded. Nothing is when it is absent.
   */
  readonly #coveredSeq = new Map<Ino, number>();
  /** Files that were removed before their content was recorded, while operations on them are pending. */
  readonly #lost = new Set<Ino>();

  constructor(questions: CoverageQuestions) {
    this.#ask = questions;
  }

  /** An operation that is ready stays so. */
  readiness(ino: Ino, seq: OpSeq): Readiness {
    if (!this.#ask.isDirty(ino) && !this.#lost.has(ino)) return "ready";
    if ((this.#coveredSeq.get(ino) ?? -1) >= seq) return "ready";
    return this.#ask.exists(ino) ? "waiting" : "with-removal";
  }

  /** The file's content is recorded as it was after this operation. */
  covered(ino: Ino, seq: number): void {
    this.#coveredSeq.set(ino, seq);
  }

  /** The file is not dirty any more: it is recorded whole, or gone. */
  settled(ino: Ino): void {
    if (!this.#ask.exists(ino) && this.#ask.isContentNeeded(ino)) this.#lost.add(ino);
    else this.#coveredSeq.delete(ino);
  }

  /** A file that an earlier mount removed: whether its content was recorded nobody knows. */
  assumeLost(ino: Ino): void {
    this.#lost.add(ino);
  }

  /** An operation on this file was shipped: when none is left, nobody will ask for its readiness any more. */
  forget(ino: Ino): void {
    if (!this.#lost.has(ino) || this.#ask.isContentNeeded(ino)) return;
    this.#lost.delete(ino);
    this.#coveredSeq.delete(ino);
  }
}
