import { type Ino, type OpSeq, shareLoop } from "../base/index.js";
import type { PendingOperation } from "../meta/index.js";
import type { Readiness } from "./content-coverage.js";
import { keyOfInode } from "./inode-keys.js";

const NONE: readonly Ino[] = [];
/** Looking at one takes a microsecond or less. */
const LOOKED_AT_AT_ONCE = 256;

/**
 * The operations that may be published now, in seq order: docs/decisions/0001, "What is shipped".
 *
 * Operations may become ready, or be added, while it looks: what was selected is right all the same, since what is ready stays so
 * and what is added comes later.
 *
 * @param operations in seq order, all that are pending; walked more than once
 * @param readinessOf whether the content an operation makes visible is in the volume
 * @param needed operations that may pass earlier blocked ones of their directory (an fsync waits for them)
 */
export async function selectOperations(
  operations: Iterable<PendingOperation>,
  readinessOf: (operation: PendingOperation) => Readiness,
  needed: ReadonlySet<OpSeq>,
): Promise<OpSeq[]> {
  // Removed files whose removal is blocked. Holding one back may block another's removal, so it takes as many walks as
  // there are links in such a chain: one, nearly always.
  const heldBack = new Set<Ino>();
  for (;;) {
    const { selected, unremoved } = await walk(operations, readinessOf, needed, heldBack);
    if (unremoved.length === 0) return selected;
    for (const ino of unremoved) heldBack.add(ino);
  }
}

interface Walk {
  readonly selected: OpSeq[];
  /** Files that would be visible without their content, because what removes them is blocked. */
  readonly unremoved: readonly Ino[];
}

async function walk(
  operations: Iterable<PendingOperation>,
  readinessOf: (operation: PendingOperation) => Readiness,
  needed: ReadonlySet<OpSeq>,
  heldBack: ReadonlySet<Ino>,
): Promise<Walk> {
  const selected: OpSeq[] = [];
  const removed = new Set<Ino>();
  const blockedKeys = new Set<string>();
  const blockedDirectories = new Set<Ino>();

  const isBlocked = ({ seq, keys, dependencies }: PendingOperation): boolean => {
    const directories = dependencies.directories ?? NONE;
    return (
      keys.some((key) => blockedKeys.has(key)) ||
      directories.some((ino) => blockedKeys.has(keyOfInode(ino))) ||
      (dependencies.inodes ?? NONE).some((ino) => blockedKeys.has(keyOfInode(ino))) ||
      (dependencies.content !== undefined && blockedKeys.has(keyOfInode(dependencies.content))) ||
      (dependencies.removedDirectories ?? NONE).some((ino) => blockedDirectories.has(ino)) ||
      (!needed.has(seq) && directories.some((ino) => blockedDirectories.has(ino)))
    );
  };

  let count = 0;
  for (const operation of operations) {
    if (++count % LOOKED_AT_AT_ONCE === 0) await shareLoop();
    const readiness = readinessOf(operation);
    const { content } = operation.dependencies;
    const waits = readiness === "waiting" || (content !== undefined && heldBack.has(content));
    // While nothing is blocked yet, which is the ordinary case, an operation costs one question.
    if (!waits && (blockedKeys.size === 0 || !isBlocked(operation))) {
      selected.push(operation.seq);
      if (readiness === "with-removal" && content !== undefined) removed.add(content);
      continue;
    }
    for (const key of operation.keys) blockedKeys.add(key);
    for (const ino of operation.dependencies.directories ?? NONE) blockedDirectories.add(ino);
  }
  // The removal writes the inode's key, so it is blocked exactly when that is.
  return { selected, unremoved: [...removed].filter((ino) => blockedKeys.has(keyOfInode(ino))) };
}
