import { type ContentId, Deferred } from "../base/index.js";
import type { ContentFile } from "../native/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import type { ContentIds } from "./content-ids.js";
import { CacheError } from "./errors.js";
import type { Garbage } from "./garbage.js";
import { type ContentFiles, completeFile, openDescriptor } from "./open-files.js";

/** An empty content file that is nobody's yet, open. */
export interface Spare {
  readonly contentId: ContentId;
  readonly file: ContentFile;
}

const BATCH = 32;
const TARGET_MIN = 64;
/** A spare costs a descriptor and an inode; unpacking a tree takes thousands a second. */
const TARGET_MAX = 512;

/**
 * Content files made in advance, so that creating a file waits for no disk. The pool grows when it has run low.
 */
export class Spares {
  readonly #directory: CacheDirectory;
  readonly #ids: ContentIds;
  readonly #garbage: Garbage;
  readonly #addon: ContentFiles;
  #spares: Spare[] = [];
  #target = TARGET_MIN;
  #refill: Promise<void> | undefined;
  readonly #waiting: Deferred[] = [];
  #closed = false;

  constructor(tools: { directory: CacheDirectory; ids: ContentIds; garbage: Garbage; addon: ContentFiles }) {
    this.#directory = tools.directory;
    this.#ids = tools.ids;
    this.#garbage = tools.garbage;
    this.#addon = tools.addon;
  }

  /** A memory operation. Undefined when there is none just now: {@link ready}. */
  take(): Spare | undefined {
    const spare = this.#spares.pop();
    if (this.#spares.length < this.#target / 4) this.#target = Math.min(this.#target * 2, TARGET_MAX);
    if (this.#spares.length < this.#target / 2) this.#startRefill();
    return spare;
  }

  /** Takes back one that was not used after all. Its garbage record must be there (again). */
  giveBack(spare: Spare): void {
    if (this.#closed) this.#drop(spare);
    else this.#spares.push(spare);
  }

  /** Resolves when {@link take} is likely to have one. @throws CacheError no-space, local-io, closed. */
  ready(): Promise<void> {
    if (this.#closed) return Promise.reject(new CacheError("closed", "the cache is closing"));
    if (this.#spares.length > 0) return Promise.resolve();
    const waiting = new Deferred();
    this.#waiting.push(waiting);
    this.#startRefill();
    return waiting.promise;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#refill;
    for (const one of this.#waiting.splice(0)) one.reject(new CacheError("closed", "the cache is closing"));
    for (const spare of this.#spares) this.#drop(spare);
    this.#spares = [];
  }

  #drop(spare: Spare): void {
    spare.file.close();
    this.#garbage.add(spare.contentId);
  }

  #startRefill(): void {
    if (this.#closed) return;
    this.#refill ??= this.#fill().finally(() => {
      this.#refill = undefined;
      // Somebody may have come after the last batch was handed out.
      if (this.#waiting.length > 0) this.#startRefill();
    });
  }

  async #fill(): Promise<void> {
    // The creation that started this goes first.
    await new Promise(setImmediate);
    while (this.#spares.length < this.#target && !this.#closed) {
      const made = await Promise.allSettled(this.#ids.reserve(BATCH).map((id) => this.#make(id)));
      for (const one of made) if (one.status === "fulfilled") this.#spares.push(one.value);
      const failed = made.find((one) => one.status === "rejected");
      const waiting = this.#waiting.splice(0);
      for (const one of waiting) {
        if (this.#spares.length === 0 && failed !== undefined) one.reject(failed.reason);
        else one.resolve();
      }
      // A full disk or no descriptors: the next one who needs a spare tries again.
      if (failed !== undefined) return;
    }
  }

  async #make(contentId: ContentId): Promise<Spare> {
    const fd = await openDescriptor(this.#directory.contentPath(contentId), "new");
    return { contentId, file: completeFile(this.#addon, fd) };
  }
}
