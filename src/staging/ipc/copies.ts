/** Copies under way: what they use must stay until they have ended, however they end. */
export class Copies {
  readonly #running = new Set<Promise<void>>();

  /** Settles as the copy does. */
  async run(copy: Promise<void>): Promise<void> {
    this.#running.add(copy);
    try {
      await copy;
    } finally {
      this.#running.delete(copy);
    }
  }

  /** Resolves when those that run now have ended. Never rejects. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}
