import { assert, type Ino, type Name, ROOT_INO } from "../base/index.js";
import type { InodeRecord, Time } from "../format/index.js";

/** An inode without a name. It is in memory only: a crash frees it. */
export interface Orphan {
  /** With the times it had; nlink is 0. */
  inode: InodeRecord;
  /** Of a regular file that nobody has open for writing. */
  sizeBytes: number;
  mtime: Time;
  readonly xattrs: Map<Name, Uint8Array>;
  /** Made by O_TMPFILE, so that link may still name it; its content is as of any other file. */
  readonly temporary: boolean;
}

// A Map holds 2^24 entries and stalls while it doubles; a kernel with much memory keeps more inodes than that.
const SHARDS = 256;

/**
 * Which inodes the kernel knows, and those that live only because somebody still has them.
 *
 * Invariants: an inode the kernel has forgotten is in no shard; an orphan is dropped when it has neither lookups
 * nor handles (`removal.ts` sees to that).
 */
export class InodeTable {
  /** Lookup counts, doubled; the lowest bit says that the kernel's pages may be outdated. */
  readonly #shards: readonly Map<Ino, number>[] = Array.from({ length: SHARDS }, () => new Map());
  readonly #orphans = new Map<Ino, Orphan>();

  constructor() {
    // The kernel has the root from the mount on, without ever looking it up.
    this.countLookup(ROOT_INO);
  }

  countLookup(ino: Ino): void {
    const shard = this.#shard(ino);
    shard.set(ino, (shard.get(ino) ?? 0) + 2);
  }

  /** True when these were the last. */
  forget(ino: Ino, lookups: number): boolean {
    const shard = this.#shard(ino);
    const before = shard.get(ino) ?? 0;
    const after = before - 2 * lookups;
    assert(after >= 0, `the kernel forgets ${lookups} lookups of inode ${ino}, which has ${before >> 1}`);
    if (after > 1) {
      shard.set(ino, after);
      return false;
    }
    shard.delete(ino);
    return true;
  }

  isKnown(ino: Ino): boolean {
    return this.#shard(ino).has(ino);
  }

  /** The file is written without the kernel's page cache of it hearing of it: a passthrough handle. */
  markPagesOutdated(ino: Ino): void {
    const shard = this.#shard(ino);
    const count = shard.get(ino);
    if (count !== undefined) shard.set(ino, count | 1);
  }

  /** Whether the pages the kernel has of it may be outdated; from now on they are not, because it drops them. */
  takePagesOutdated(ino: Ino): boolean {
    const shard = this.#shard(ino);
    const count = shard.get(ino);
    if (count === undefined || (count & 1) === 0) return false;
    shard.set(ino, count - 1);
    return true;
  }

  orphan(ino: Ino): Orphan | undefined {
    // Asked at every request, and there are seldom any.
    return this.#orphans.size === 0 ? undefined : this.#orphans.get(ino);
  }

  addOrphan(ino: Ino, orphan: Orphan): void {
    this.#orphans.set(ino, orphan);
  }

  deleteOrphan(ino: Ino): void {
    this.#orphans.delete(ino);
  }

  #shard(ino: Ino): Map<Ino, number> {
    // Modulo, not a mask: inode numbers outgrow 32 bits. There always is a shard of that index.
    return this.#shards[ino % SHARDS] as Map<Ino, number>;
  }
}
