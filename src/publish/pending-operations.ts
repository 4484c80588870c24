import type { Ino, OpSeq } from "../base/index.js";
import type { LatePlace, PendingOperation } from "../meta/index.js";
import { keyOfContent, keyOfInode } from "./inode-keys.js";

/** What an fsync asks for: operations on these inodes, or in these directories. */
export interface Wanted {
  readonly inodes: readonly Ino[];
  readonly directories: readonly Ino[];
}

const NONE: readonly Ino[] = [];
/** As many as enter the index in less time than an fsync takes. */
const UNINDEXED_MAX = 4096;

/**
 * The operations the volume does not have yet, in seq order, and an index by what they touch: an fsync must find its
 * own among a hundred thousand without looking at each.
 *
 * Most operations are shipped before anybody asks for an fsync, so they enter the index only when somebody looks into it.
 *
 * Invariant: an operation is in #index or in #unindexed; what was deleted from #operations is not in #index.
 */
export class PendingOperations {
  readonly #operations = new Map<OpSeq, PendingOperation>();
  /** By key written, and by `inode <number>` and `directory <number>` of its dependencies. */
  readonly #index = new Map<string, Set<OpSeq>>();
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
    if (this.#index.size === 0) return;
    for (const term of termsOf(operation)) {
      const found = this.#index.get(term);
      found?.delete(seq);
      if (found?.size === 0) this.#index.delete(term);
    }
  }

  /** Whether an operation is pending that waits for this file's content. */
  needContent(ino: Ino): boolean {
    for (const { dependencies } of this.#found(inodeTerm(ino))) if (dependencies.content === ino) return true;
    return false;
  }

  /**
   * Of a file that was removed: the operation that may still carry its content, and the removal. Undefined where none waits
   * for it.
   */
  placeOfLateContent(ino: Ino): LatePlace | undefined {
    const writers = [...this.#found(keyOfContent(ino))];
    const removal = writers.pop();
    const last = writers.at(-1);
    if (removal === undefined) return undefined;
    if (last?.dependencies.content === ino) return { carrier: last.seq, removal: removal.seq };
    for (const { seq, dependencies } of this.#found(inodeTerm(ino))) {
      const isLater = last === undefined || seq > last.seq;
      if (dependencies.content === ino && isLater) return { carrier: seq, removal: removal.seq };
    }
    return undefined;
  }

  /** Operations whose entries are in this directory, in seq order. */
  inDirectory(ino: Ino): Iterable<PendingOperation> {
    return this.#found(directoryTerm(ino));
  }

  /**
   * The operations an fsync needs: those on what it asks for, and, again and again, earlier or later ones that share a
   * key with them or make the directories they are in. Later ones too, because a renamed parent is part of the name.
   */
  neededBy(wanted: Wanted): Set<OpSeq> {
    const needed = new Set<OpSeq>();
    const seen = new Set<string>();
    const terms: string[] = [];
    const follow = (term: string): void => {
      if (seen.has(term)) return;
      seen.add(term);
      terms.push(term);
    };
    for (const ino of wanted.inodes) {
      follow(keyOfInode(ino));
      follow(keyOfContent(ino));
      follow(inodeTerm(ino));
    }
    for (const ino of wanted.directories) follow(directoryTerm(ino));
    for (let term = terms.pop(); term !== undefined; term = terms.pop()) {
      for (const { seq, keys, dependencies } of this.#found(term)) {
        if (needed.has(seq)) continue;
        needed.add(seq);
        for (const key of keys) follow(key);
        for (const ino of dependencies.directories ?? NONE) follow(keyOfInode(ino));
        for (const ino of dependencies.inodes ?? NONE) follow(keyOfInode(ino));
        for (const ino of dependencies.removedDirectories ?? NONE) follow(directoryTerm(ino));
        if (dependencies.content !== undefined) {
          follow(keyOfInode(dependencies.content));
          follow(keyOfContent(dependencies.content));
        }
      }
    }
    return needed;
  }

  #indexFirst(count: number): void {
    for (const operation of this.#unindexed.splice(0, count)) {
      if (!this.#operations.has(operation.seq)) continue;
      for (const term of termsOf(operation)) {
        const found = this.#index.get(term);
        if (found === undefined) this.#index.set(term, new Set([operation.seq]));
        else found.add(operation.seq);
      }
    }
  }

  *#found(term: string): Iterable<PendingOperation> {
    this.#indexFirst(this.#unindexed.length);
    for (const seq of this.#index.get(term) ?? []) {
      const operation = this.#operations.get(seq);
      if (operation !== undefined) yield operation;
    }
  }
}

function inodeTerm(ino: Ino): string {
  return `inode ${ino}`;
}

function directoryTerm(ino: Ino): string {
  return `directory ${ino}`;
}

function* termsOf({ keys, dependencies }: PendingOperation): Iterable<string> {
  yield* keys;
  if (dependencies.content !== undefined) yield inodeTerm(dependencies.content);
  for (const ino of dependencies.inodes ?? NONE) yield inodeTerm(ino);
  for (const ino of dependencies.directories ?? NONE) yield directoryTerm(ino);
}
