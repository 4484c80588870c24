import { type ContentId, ignore } from "../base/index.js";
import type { Metadata } from "../meta/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import type { ContentFiles } from "./open-files.js";

const BATCH = 64;

/**
 * Deletes content files that are nobody's any more, in the background: unlinking a large file takes its time. Their
 * garbage records go last, so that a crash in between is made up for at the next start.
 */
export class Garbage {
  readonly #directory: CacheDirectory;
  readonly #metadata: Metadata;
  readonly #addon: ContentFiles;
  readonly #queue: { readonly id: ContentId; readonly deleted: () => void }[] = [];
  /** Uploads that still read a file. */
  readonly #pins = new Map<ContentId, number>();
  readonly #deferred = new Map<ContentId, () => void>();
  #running: Promise<void> | undefined;

  constructor(tools: { directory: CacheDirectory; metadata: Metadata; addon: ContentFiles }) {
    this.#directory = tools.directory;
    this.#metadata = tools.metadata;
    this.#addon = tools.addon;
  }

  /** Takes a file whose garbage record is committed and that nobody has open. `deleted` is called when it is off the disk. */
  add(id: ContentId, deleted: () => void = ignore): void {
    if (this.#pins.has(id)) {
      this.#deferred.set(id, deleted);
      return;
    }
    this.#queue.push({ id, deleted });
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** The file stays on the disk until it is unpinned as often. */
  pin(id: ContentId): void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
  }

  unpin(id: ContentId): void {
    const count = (this.#pins.get(id) ?? 1) - 1;
    if (count > 0) {
      this.#pins.set(id, count);
      return;
    }
    this.#pins.delete(id);
    const deleted = this.#deferred.get(id);
    this.#deferred.delete(id);
    if (deleted !== undefined) this.add(id, deleted);
  }

  /** Deletes what an earlier mount left: everything recorded below `firstOfThisMount`. */
  async sweep(firstOfThisMount: ContentId): Promise<void> {
    for (;;) {
      const left = this.#metadata.garbage(BATCH).filter((id) => id < firstOfThisMount);
      if (left.length === 0) return;
      await this.#delete(left);
    }
  }

  /** Resolves when nothing is left to delete. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // After this turn of the loop: files evicted together share a transaction.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH);
      await this.#delete(batch.map(({ id }) => id));
      for (const { deleted } of batch) deleted();
    }
  }

  async #delete(ids: readonly ContentId[]): Promise<void> {
    // One wake-up for all; what is not there counts as deleted, what a broken disk keeps is given up.
    await this.#addon.removeFiles(ids.flatMap((id) => [this.#directory.contentPath(id), this.#directory.mapPath(id)]));
    this.#metadata.update((tx) => {
      for (const id of ids) tx.removeGarbage(id);
    });
  }
}
