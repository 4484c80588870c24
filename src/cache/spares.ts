import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { type ContentId, Deferred } from "../base/index.js";
import type { ContentFile } from "../native/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import type { ContentIds } from "./content-ids.js";
import { CacheError } from "./errors.js";
import type { Garbage } from "./garbage.js";
import { type ContentFiles, completeFile, localError } from "./open-files.js";

/** An empty content file that is nobody's yet, open. */
export interface Spare {
  readonly contentId: ContentId;
  readonly file: ContentFile;
}

/** Made by one job of a thread: waking it, and being woken by it, costs more than making a file. */
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
      let failure: CacheError | undefined;
      try {
        await this.#make(this.#ids.reserve(BATCH));
      } catch (error) {
        failure = localError("cannot make a content file", error);
      }
      const waiting = this.#waiting.splice(0);
      for (const one of waiting) {
        if (this.#spares.length === 0 && failure !== undefined) one.reject(failure);
        else one.resolve();
      }
      // A full disk or no descriptors: the next one who needs a spare tries again.
      if (failure !== undefined) return;
    }
  }

  /** As many as can be made. @throws the first failure, with the others in the pool. */
  async #make(ids: readonly ContentId[]): Promise<void> {
    const paths = ids.map((id) => this.#directory.contentPath(id));
    const descriptors = await this.#addon.createFiles(paths);
    let failure: unknown;
    ids.forEach((contentId, index) => {
      const fd = descriptors[index] ?? -constants.errno.EIO;
      try {
        if (fd < 0) throw systemError(fd, `open ${paths[index]}`);
        this.#spares.push({ contentId, file: completeFile(this.#addon, fd) });
      } catch (error) {
        failure ??= error;
      }
    });
    if (failure !== undefined) throw failure;
  }
}

/** As Node reports failed calls. @param errno negative */
function systemError(errno: number, call: string): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${code}: ${call}`), { code });
}
