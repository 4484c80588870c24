import { type Ino, KeyedQueue } from "../base/index.js";
import type { LocalFile } from "../meta/index.js";
import type { CacheCore } from "./core.js";
import { countOf } from "./local-images.js";

/** Records read per look, in slices, and files deleted per transaction. */
const SLICE = 512;
const SLICES_PER_SAMPLE = 4;
const BATCH = 128;

interface Candidate {
  readonly ino: Ino;
  readonly local: LocalFile;
  readonly lastUsedMs: number;
}

/**
 * Deletes local copies that the volume has too, least recently used first, approximately: a cache of millions of files
 * is sampled, in turn, rather than sorted. Never what is dirty, open, or being fetched into.
 */
export class Evictor {
  readonly #core: CacheCore;
  readonly #queue = new KeyedQueue<"evict">();
  /** Where the next sample begins. */
  #cursor: Ino | undefined;

  constructor(core: CacheCore) {
    this.#core = core;
  }

  /**
   * Frees what is needed, if there is as much to free; resolves to the bytes that are off the disk then. One at a time:
   * the need is asked for when it is one's turn, since those before may have met it.
   */
  free(need: () => number): Promise<number> {
    return this.#queue.run("evict", () => this.#free(need()));
  }

  async evict(ino: Ino): Promise<boolean> {
    const local = this.#core.parts.metadata.local(ino);
    if (local === undefined) return true;
    if (!this.#isEvictable(ino, local)) return false;
    await this.#delete([{ ino, local, lastUsedMs: 0 }]);
    return this.#core.parts.metadata.local(ino) === undefined;
  }

  async #free(bytes: number): Promise<number> {
    if (bytes <= 0) return 0;
    let freed = await this.#core.parts.mirrors.free(bytes);
    for (let fruitless = 0; freed < bytes && fruitless < 2; ) {
      const { candidates, wrapped } = this.#sample();
      candidates.sort((a, b) => a.lastUsedMs - b.lastUsedMs);
      // Half of a sample at most, unless it was all there is: the other half may be newer than what comes next.
      const countMax = wrapped ? candidates.length : Math.ceil(candidates.length / 2);
      for (let at = 0; at < countMax && freed < bytes; ) {
        const batch: Candidate[] = [];
        let batchBytes = 0;
        while (at < countMax && batch.length < BATCH && freed + batchBytes < bytes) {
          const candidate = candidates[at++];
          if (candidate === undefined) break;
          batch.push(candidate);
          batchBytes += candidate.local.diskBytes;
        }
        freed += await this.#delete(batch);
      }
      // Twice around without finding anything: all of it is dirty or in use.
      if (wrapped && candidates.length === 0) fruitless++;
    }
    return freed;
  }

  /** The evictable files among the next records. `wrapped`: the end of the records was reached. */
  #sample(): { candidates: Candidate[]; wrapped: boolean } {
    const { metadata, recency } = this.#core.parts;
    const candidates: Candidate[] = [];
    for (let slice = 0; slice < SLICES_PER_SAMPLE; slice++) {
      const files = metadata.localFiles(this.#cursor, SLICE);
      for (const [ino, local] of files) {
        if (local.diskBytes === 0 || !this.#isEvictable(ino, local)) continue;
        candidates.push({ ino, local, lastUsedMs: Math.max(recency.get(ino) ?? 0, local.lastUsedMs) });
      }
      this.#cursor = files.length < SLICE ? undefined : files.at(-1)?.[0];
      if (this.#cursor === undefined) return { candidates, wrapped: true };
    }
    return { candidates, wrapped: false };
  }

  #isEvictable(ino: Ino, local: LocalFile): boolean {
    const { images, opening, parts } = this.#core;
    if (local.dirty || images.has(ino) || opening.has(ino)) return false;
    return !(parts.retained.get(ino)?.pager?.busy ?? false);
  }

  /** Resolves to the bytes freed when the files are off the disk. */
  async #delete(batch: readonly Candidate[]): Promise<number> {
    const { metadata, retained, garbage, ledger } = this.#core.parts;
    const gone: { readonly ino: Ino; readonly local: LocalFile }[] = [];
    metadata.update((tx) => {
      for (const { ino, local } of batch) {
        const current = tx.local(ino);
        if (current?.contentId !== local.contentId || !this.#isEvictable(ino, current)) continue;
        tx.deleteLocal(ino);
        tx.addGarbage(current.contentId);
        gone.push({ ino, local: current });
      }
    });
    await Promise.all(
      gone.map(({ ino, local }) => {
        retained.drop(ino);
        const release = ledger.discard(ino, countOf(local));
        return new Promise<void>((resolve) => {
          garbage.add(local.contentId, () => {
            release();
            resolve();
          });
        });
      }),
    );
    return gone.reduce((sum, { local }) => sum + local.diskBytes, 0);
  }
}
