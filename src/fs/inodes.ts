import { assert, type Ino, type Name, ROOT_INO } from "../base/index.js";
import type { InodeRecord, Time } from "../format/index.js";
import { NibbleMap } from "./nibble-map.js";

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

/** Of an inode's nibble: the kernel's pages may be outdated. Above it, how many lookups; {@link MANY} says: see #many. */
const OUTDATED = 1;
const COUNT_SHIFT = 1;
const MANY = 7;

/**
 * Which inodes the kernel knows, and those that live only because somebody still has them.
 *
 * Counts are needed although hardly any file is ever removed while somebody has it: whether the kernel still knows an
 * inode when its last name goes, and which FORGET is the last one then, follows only from all that was before. So they have
 * to be small: most inodes are looked up a few times, and take half a byte and their share of a table.
 *
 * Invariants: an inode the kernel has forgotten has no nibble; #many holds the counts from {@link MANY} on, and no others;
 * an orphan is dropped when it has neither lookups nor handles (`removal.ts` sees to that).
 */
export class InodeTable {
  readonly #nibbles = new NibbleMap();
  readonly #many = new Map<Ino, number>();
  readonly #orphans = new Map<Ino, Orphan>();

  constructor() {
    // The kernel has the root from the mount on, without ever looking it up.
    this.countLookup(ROOT_INO);
  }

  countLookup(ino: Ino): void {
    this.#setCount(ino, this.#count(ino) + 1);
  }

  /** True when these were the last. */
  forget(ino: Ino, lookups: number): boolean {
    const before = this.#count(ino);
    const after = before - lookups;
    assert(after >= 0, `the kernel forgets ${lookups} lookups of inode ${ino}, which has ${before}`);
    this.#setCount(ino, after);
    return after === 0;
  }

  isKnown(ino: Ino): boolean {
    return this.#nibbles.get(ino) !== 0;
  }

  /** The file is written without the kernel's page cache of it hearing of it: a passthrough handle. */
  markPagesOutdated(ino: Ino): void {
    const nibble = this.#nibbles.get(ino);
    if (nibble !== 0) this.#nibbles.set(ino, nibble | OUTDATED);
  }

  /** Whether the pages the kernel has of it may be outdated; from now on they are not, because it drops them. */
  takePagesOutdated(ino: Ino): boolean {
    const nibble = this.#nibbles.get(ino);
    if ((nibble & OUTDATED) === 0) return false;
    this.#nibbles.set(ino, nibble & ~OUTDATED);
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

  #count(ino: Ino): number {
    const count = this.#nibbles.get(ino) >> COUNT_SHIFT;
    return count < MANY ? count : (this.#many.get(ino) ?? MANY);
  }

  #setCount(ino: Ino, count: number): void {
    if (count >= MANY) this.#many.set(ino, count);
    else if (this.#many.size > 0) this.#many.delete(ino);
    const outdated = this.#nibbles.get(ino) & OUTDATED;
    this.#nibbles.set(ino, count === 0 ? 0 : (Math.min(count, MANY) << COUNT_SHIFT) | outdated);
  }
}
