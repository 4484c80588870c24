/** What must be undone, last first: when starting fails half-way, and when a mount ends. */
export class Cleanup {
  readonly #steps: { readonly what: string; readonly run: () => unknown }[] = [];

  add(what: string, run: () => unknown): void {
    this.#steps.push({ what, run });
  }

  /** Runs every step, whatever the others do. Running it again does nothing. */
  async run(onError: (what: string, error: unknown) => void): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.run();
      } catch (error) {
        onError(step.what, error);
      }
    }
  }
}
