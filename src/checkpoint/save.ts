import { ignore } from "../base/index.js";
import { CheckpointError } from "./errors.js";

/** A checkpoint on its way: its tensors have been copied, and may change. */
export interface Save {
  readonly name: string;
  /** Where the file of this process appears. */
  readonly path: string;
  /** Of that file. */
  readonly sizeBytes: number;
  /**
   * The checkpoint is whole, on the local disk, and has its name. Until then nobody sees anything of it. Of several ranks: this
   * one's file is; when that is so on all of them, the checkpoint is.
   * @throws CheckpointError nothing is left of it.
   */
  readonly committed: Promise<void>;
  /**
   * It is in the volume. Without a mount, the same as {@link committed}.
   * @throws CheckpointError it could not be published by now; the mount tries again, and so may who reads this again.
   */
  readonly published: Promise<void>;
}

/** How a save goes on. */
interface Course {
  readonly committed: Promise<void>;
  /** To be asked after that. */
  published(): Promise<void>;
}

/** A save, and what its stager needs to know of it. */
export class RunningSave implements Save {
  readonly path: string;
  readonly sizeBytes: number;
  readonly committed: Promise<void>;
  readonly #course: Course;

  constructor(
    readonly name: string,
    { path, sizeBytes }: { readonly path: string; readonly sizeBytes: number },
    course: Course,
  ) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.committed = course.committed;
    this.#course = course;
    // Who waits for the stager hears of a failure there.
    course.committed.catch(ignore);
  }

  get published(): Promise<void> {
    const published = this.committed.then(() => this.#course.published());
    published.catch(ignore);
    return published;
  }
}

/** Settle when saves that were begun before, of the same name or of any, have ended. They never reject. */
interface Before {
  readonly sameBefore: Promise<unknown>;
  readonly allBefore: Promise<unknown>;
}

/** The saves of a stager that have not failed, as far as anybody was told, and are not known to be in the volume. */
export class RunningSaves {
  readonly #saves = new Set<Save>();
  /** By name: when the last save of it, and those before, have ended. */
  readonly #ends = new Map<string, Promise<unknown>>();

  /** @param start is told when saves that were begun before have ended. */
  async add(name: string, start: (before: Before) => Promise<Save>): Promise<Save> {
    const sameBefore = this.#ends.get(name) ?? Promise.resolve();
    const started = start({ sameBefore, allBefore: Promise.all(this.#ends.values()) });
    const end = Promise.all([sameBefore, started.then(({ committed }) => committed).catch(ignore)]);
    this.#ends.set(name, end);
    void end.then(() => this.#ends.get(name) === end && this.#ends.delete(name));
    const save = await started;
    this.#saves.add(save);
    return save;
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
