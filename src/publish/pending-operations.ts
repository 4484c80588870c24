import { type Ino, type OpSeq, shareLoop } from "../base/index.js";
import type { LatePlace, PendingOperation } from "../meta/index.js";
import { keyOfContent, keyOfInode } from "./inode-keys.js";
import { SeqIndex } from "./seq-index.js";

/** What an fsync asks for: operations on these inodes, or in these directories. */
export interface Wanted {
  readonly inodes: Iterable<Ino>;
  readonly directories: Iterable<Ino>;
}

const NONE: readonly Ino[] = [];
/** As many as enter the index in less time than an fsync takes. */
const UNINDEXED_MAX = 1024;
/** Following what one operation touches takes a few microseconds. */
const FOLLOWED_AT_ONCE = 64;

/**
 * The operations the volume does not have yet, in seq order, and an index by what they touch: an fsync must find its
 * own among a hundred thousand without looking at each.
 *
 * Most operations are shipped before anybody asks for an fsync, so they enter the index only when somebody looks into it.
 *
 * Invariant: an operation is in the index or in #unindexed; what was deleted from #operations is not in the index.
 */
export class PendingOperations {
  readonly #operations = new Map<OpSeq, PendingOperation>();
  /** By key written. */
  readonly #byKey = new SeqIndex<string>();
  /** By inode of the dependencies: one that must exist, or whose content comes first. */
  readonly #byInode = new SeqIndex<Ino>();
  /** By directory whose entries change. */
  readonly #byDirectory = new SeqIndex<Ino>();
  /** In seq order; some may have been deleted since. */
  #unindexed: PendingOperation[] = [];

  get size(): number {
    return this.#operations.size;
  }

  get(seq: OpSeq): PendingOperation | undefined {
    return this.#operations.get(seq);
  }

  has(seq: OpSeq): boolean {
    return this.#operations.has(seq);
  }

  values(): Iterable<PendingOperation> {
    return this.#operations.values();
  }

  /** @param operation later than all that are there */
  add(operation: PendingOperation): void {
    this.#operations.set(operation.seq, operation);
    this.#unindexed.push(operation);
    if (this.#unindexed.length > UNINDEXED_MAX) this.#indexFirst(UNINDEXED_MAX / 16);
  }

  delete(seq: OpSeq): void {
    const operation = this.#operations.get(seq);
    if (operation === undefined) return;
    this.#operations.delete(seq);
    if (this.#operations.size === 0) this.#unindexed = [];
    const [first] = this.#unindexed;
    // Later than what is indexed.
    if (first !== undefined && seq >= first.seq) return;
    const { keys, dependencies } = operation;
    for (const key of keys) this.#byKey.delete(key, seq);
    for (const ino of dependencies.directories ?? NONE) this.#byDirectory.delete(ino, seq);
    for (const ino of dependencies.inodes ?? NONE) this.#byInode.delete(ino, seq);
    if (dependencies.content !== undefined) this.#byInode.delete(dependencies.content, seq);
  }

  /** Whether an operation is pending that waits for this file's content. */
  needContent(ino: Ino): boolean {
    for (const { dependencies } of this.#onInode(ino)) if (dependencies.content === ino) return true;
    return false;
  }

  /**
   * Of a file that was removed: the operation that may still carry its content, and the removal. Undefined where none waits
   * for it.
   */
  placeOfLateContent(ino: Ino): LatePlace | undefined {
    const writers = [...this.#writing(keyOfContent(ino))];
    const removal = writers.pop();
    const last = writers.at(-1);
    if (removal === undefined) return undefined;
    if (last?.dependencies.content === ino) return { carrier: last.seq, removal: removal.seq };
    for (const { seq, dependencies } of this.#onInode(ino)) {
      const isLater = last === undefined || seq > last.seq;
      if (dependencies.content === ino && isLater) return { carrier: seq, removal: removal.seq };
    }
    return undefined;
  }

  /** Operations whose entries are in this directory, in seq order. */
  inDirectory(ino: Ino): Iterable<PendingOperation> {
    this.#indexAll();
    return this.#pending(this.#byDirectory.get(ino));
  }

  /**
   * The operations an fsync needs: those on what it asks for, and, again and again, earlier or later ones that share a
   * key with them or make the directories they are in. Later ones too, because a renamed parent is part of the name.
   *
   * What is shipped while this looks is needed no more; what is added may be found or not.
   */
  async neededBy({ inodes, directories }: Wanted): Promise<Set<OpSeq>> {
    this.#indexAll();
    const needed = new Set<OpSeq>();
    // Keys, and directories all of whose entries are needed. Walking a set comes to what is added meanwhile, too.
    const terms = new Set<string | Ino>(directories);
    const need = (operation: PendingOperation): void => {
      if (needed.has(operation.seq)) return;
      needed.add(operation.seq);
      addTermsNeededBy(operation, terms);
    };
    let count = 0;
    for (const ino of inodes) {
      if (++count % FOLLOWED_AT_ONCE === 0) await shareLoop();
      terms.add(keyOfInode(ino)).add(keyOfContent(ino));
      for (const operation of this.#onInode(ino)) need(operation);
    }
    for (const term of terms) {
      const seqs = typeof term === "string" ? this.#byKey.get(term) : this.#byDirectory.get(term);
      for (const operation of this.#pending(seqs)) {
        if (++count % FOLLOWED_AT_ONCE === 0) await shareLoop();
        need(operation);
      }
    }
    return needed;
  }

  #indexAll(): void {
    this.#indexFirst(this.#unindexed.length);
  }

  #indexFirst(count: number): void {
    for (const { seq, keys, dependencies } of this.#unindexed.splice(0, count)) {
      if (!this.#operations.has(seq)) continue;
      for (const key of keys) this.#byKey.add(key, seq);
      for (const ino of dependencies.directories ?? NONE) this.#byDirectory.add(ino, seq);
      for (const ino of dependencies.inodes ?? NONE) this.#byInode.add(ino, seq);
      if (dependencies.content !== undefined) this.#byInode.add(dependencies.content, seq);
    }
  }

  #writing(key: string): Iterable<PendingOperation> {
    this.#indexAll();
    return this.#pending(this.#byKey.get(key));
  }

  #onInode(ino: Ino): Iterable<PendingOperation> {
    this.#indexAll();
    return this.#pending(this.#byInode.get(ino));
  }

  *#pending(seqs: Iterable<OpSeq>): Iterable<PendingOperation> {
    for (const seq of seqs) {
      const operation = this.#operations.get(seq);
      if (operation !== undefined) yield operation;
    }
  }
}

/** What an fsync that needs this operation needs as well. */
function addTermsNeededBy({ keys, dependencies }: PendingOperation, terms: Set<string | Ino>): void {
  for (const key of keys) terms.add(key);
  for (const ino of dependencies.directories ?? NONE) terms.add(keyOfInode(ino));
  for (const ino of dependencies.inodes ?? NONE) terms.add(keyOfInode(ino));
  for (const ino of dependencies.removedDirectories ?? NONE) terms.add(ino);
  if (dependencies.content !== undefined) {
    terms.add(keyOfInode(dependencies.content)).add(keyOfContent(dependencies.content));
  }
}
