import type { Ino, OpSeq } from "../base/index.js";
import type { PendingOperation } from "../meta/index.js";
import { keyOfInode } from "./inode-keys.js";

const NONE: readonly Ino[] = [];

/**
 * The operations that may be published now, in seq order: docs/decisions/0001, "What is shipped".
 *
 * @param operations in seq order, all that are pending
 * @param isReady whether the content an operation makes visible is in the volume
 * @param needed operations that may pass earlier blocked ones of their directory (an fsync waits for them)
 */
export function selectOperations(
  operations: Iterable<PendingOperation>,
  isReady: (operation: PendingOperation) => boolean,
  needed: ReadonlySet<OpSeq>,
): OpSeq[] {
  const selected: OpSeq[] = [];
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

  for (const operation of operations) {
    // While nothing is blocked yet, which is the ordinary case, an operation costs one question.
    if (isReady(operation) && (blockedKeys.size === 0 || !isBlocked(operation))) {
      selected.push(operation.seq);
      continue;
    }
    for (const key of operation.keys) blockedKeys.add(key);
    for (const ino of operation.dependencies.directories ?? NONE) blockedDirectories.add(ino);
  }
  return selected;
}
