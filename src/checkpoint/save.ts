import { ignore } from "../base/index.js";
import { CheckpointError } from "./errors.js";
import type { SaveTarget } from "./sink.js";

/** A checkpoint on its way: its tensors have been copied, and may change. */
export interface Save {
  readonly name: string;
  /** Where it appears when it is committed. */
  readonly path: string;
  readonly sizeBytes: number;
  /**
   * The checkpoint is whole, on the local disk, and has its name. Until then nobody sees anything of it.
   * @throws CheckpointError nothing is left of it.
   */
  readonly committed: Promise<void>;
  /**
   * It is in the volume. Without a mount, the same as {@link committed}.
   * @throws CheckpointError it could not be published by now; the mount tries again, and so may who reads this again.
   */
  readonly published: Promise<void>;
}

/** A save, and what its stager needs to know of it. */
export class RunningSave implements Save {
  readonly committed: Promise<void>;
  readonly #target: SaveTarget;

  constructor(
    readonly name: string,
    readonly path: string,
    readonly sizeBytes: number,
    { target, commit }: { readonly target: SaveTarget; readonly commit: Promise<void> },
  ) {
    this.#target = target;
    this.committed = commit;
    // Who waits for the stager hears of a failure there.
    commit.catch(ignore);
  }

  get published(): Promise<void> {
    const published = this.committed.then(() => this.#target.published());
    published.catch(ignore);
    return published;
  }
}

/** The saves of a stager that have not failed, as far as anybody was told, and are not known to be in the volume. */
export class RunningSaves {
  readonly #saves = new Set<Save>();

  add(save: Save): void {
    this.#saves.add(save);
  }

  /** Waits for all there are now. @throws CheckpointError the first failure; each save's is told once. */
  async wait(durable: boolean): Promise<void> {
    const failures: unknown[] = [];
    for (const save of [...this.#saves]) {
      try {
        await save.committed;
        if (!durable) continue;
        await save.published;
        this.#saves.delete(save);
      } catch (error) {
        failures.push(error);
        // The mount goes on trying: the next one to wait may have more luck.
        if (!(error instanceof CheckpointError && error.retryable)) this.#saves.delete(save);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
