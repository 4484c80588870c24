/** The slots of a ring that nobody uses. Who asks first gets one first. */
export class SlotPool {
  // The one that was used last is used again first: its pages are there, where those of others may never have been touched.
  readonly #free: number[];
  // Invariant: nobody waits while a slot is free.
  readonly #waiting: { resolve(slot: number): void; reject(error: unknown): void }[] = [];
  #failure: unknown;

  constructor(readonly count: number) {
    this.#free = Array.from({ length: count }, (_, slot) => count - 1 - slot);
  }

  /**
   * Waits for a free slot. Give it back with {@link release}, unless a copy of unknown state may still land in it: then never.
   * @throws what {@link fail} was told.
   */
  acquire(): Promise<number> {
    return new Promise((resolve, reject) => {
      const slot = this.#failure === undefined ? this.#free.pop() : undefined;
      if (this.#failure !== undefined) reject(this.#failure);
      else if (slot === undefined) this.#waiting.push({ resolve, reject });
      else resolve(slot);
    });
  }

  release(slot: number): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next.resolve(slot);
  }

  /** No slot becomes free any more. */
  fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}
