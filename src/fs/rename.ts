import type { Ino, Name } from "../base/index.js";
import type { DentryRecord, InodeRecord, Time } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { checkName, type FsContext, mutate, putChanged, requireInode, requireParent } from "./context.js";
import { FsError, NO_SUCH_NAME } from "./errors.js";
import type { RenameMode } from "./file-system.js";
import { isDirectory, isRegular, S_IFDIR } from "./modes.js";
import { dropDirectory, dropLink, keepRemoved, type Removed } from "./removal.js";

/** A name in a directory, and what it refers to. */
interface Place {
  readonly parent: Ino;
  readonly name: Name;
}
interface Entry extends Place {
  readonly dentry: DentryRecord;
  readonly inode: InodeRecord;
}

/**
 * rename(2) and renameat2(2). The kernel has made sure that no directory moves into itself: it holds the locks of the
 * whole path, and its view of an exclusive volume is complete.
 *
 * @throws FsError not-found, exists (no-replace), is-directory, not-directory, not-empty, name-too-long, invalid, read-only
 */
export function rename(context: FsContext, from: Place, to: Place, mode: RenameMode): void {
  checkName(context, from.name);
  checkName(context, to.name);
  const removed = mutate(context, (tx, time) => {
    requireParent(tx, from.parent);
    requireParent(tx, to.parent);
    const source = entryAt(tx, from);
    if (source === undefined) throw NO_SUCH_NAME;
    const target = entryAt(tx, to);
    if (target !== undefined && mode === "no-replace") throw new FsError("exists", "the new name exists");
    if (source.dentry.ino === to.parent) throw new FsError("invalid", "a directory cannot move into itself");
    if (mode === "exchange") {
      if (target === undefined) throw NO_SUCH_NAME;
      exchange(tx, source, target, time);
      return undefined;
    }
    // rename(2): two names of one file; nothing is done, and both stay.
    if (target?.dentry.ino === source.dentry.ino) return undefined;
    if (target !== undefined) requireReplaceable(tx, source, target);
    return move(context, tx, source, to, target, time);
  });
  keepRemoved(context, removed);
}

function entryAt(tx: MetadataTransaction, { parent, name }: Place): Entry | undefined {
  const dentry = tx.dentry(parent, name);
  return dentry && { parent, name, dentry, inode: requireInode(tx, dentry.ino) };
}

function requireReplaceable(tx: MetadataTransaction, source: Entry, target: Entry): void {
  if (!isDirectory(target.inode.mode)) {
    if (isDirectory(source.inode.mode)) throw new FsError("not-directory", "a directory cannot replace a file");
    return;
  }
  if (!isDirectory(source.inode.mode)) throw new FsError("is-directory", "a file cannot replace a directory");
  if (!tx.isEmptyDirectory(target.dentry.ino)) throw new FsError("not-empty", "the directory to replace has entries");
}

function move(
  context: FsContext,
  tx: MetadataTransaction,
  source: Entry,
  to: Place,
  target: Entry | undefined,
  time: Time,
): Removed | undefined {
  const { ino } = source.dentry;
  const replacesDirectory = target !== undefined && isDirectory(target.inode.mode);
  tx.deleteDentry(source.parent, source.name);
  tx.putDentry(to.parent, to.name, source.dentry);
  putChanged(tx, ino, source.inode, time);
  const moved = isDirectory(source.inode.mode) ? 1 : 0;
  touchParents(tx, time, source.parent, -moved, to.parent, moved - (replacesDirectory ? 1 : 0));
  tx.dependsOn({
    directories: directoriesOf(source.parent, to.parent),
    inodes: target === undefined ? [ino] : [ino, target.dentry.ino],
    // Never ahead of what it makes visible: DESIGN section 4, promise 2.
    ...(isRegular(source.inode.mode) && { content: ino }),
    ...(replacesDirectory && { removedDirectories: [target.dentry.ino] }),
  });
  if (target === undefined) return undefined;
  return replacesDirectory
    ? dropDirectory(tx, target.dentry.ino, target.inode, time)
    : dropLink(context, tx, target.dentry.ino, target.inode, time);
}

function exchange(tx: MetadataTransaction, a: Entry, b: Entry, time: Time): void {
  if (a.dentry.ino === b.dentry.ino) return;
  tx.putDentry(a.parent, a.name, b.dentry);
  tx.putDentry(b.parent, b.name, a.dentry);
  putChanged(tx, a.dentry.ino, a.inode, time);
  putChanged(tx, b.dentry.ino, b.inode, time);
  const difference = (b.dentry.type === S_IFDIR ? 1 : 0) - (a.dentry.type === S_IFDIR ? 1 : 0);
  touchParents(tx, time, a.parent, difference, b.parent, -difference);
  const content = exchangedContent(tx, a, b);
  tx.dependsOn({
    directories: directoriesOf(a.parent, b.parent),
    inodes: [a.dentry.ino, b.dentry.ino],
    ...(content !== undefined && { content }),
  });
}

/**
 * An operation waits for one content only. Of two files with unpublished content the first is waited for; the other is
 * published under its new name as the volume has it, which was a whole file under the old one.
 */
function exchangedContent(tx: MetadataTransaction, a: Entry, b: Entry): Ino | undefined {
  const files = [a, b].filter((entry) => isRegular(entry.inode.mode)).map((entry) => entry.dentry.ino);
  return files.find((ino) => tx.local(ino)?.dirty) ?? files[0];
}

/** One touch for each directory: two in one operation would have the same place in the order. */
function touchParents(tx: MetadataTransaction, time: Time, a: Ino, linksA: number, b: Ino, linksB: number): void {
  if (a === b) {
    tx.touch(a, time, linksA + linksB);
    return;
  }
  tx.touch(a, time, linksA);
  tx.touch(b, time, linksB);
}

function directoriesOf(a: Ino, b: Ino): readonly Ino[] {
  return a === b ? [a] : [a, b];
}
