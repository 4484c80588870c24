import type { Ino, Name } from "../base/index.js";
import { attributesOf, contentState, namedInode } from "./attributes.js";
import { checkName, type FsContext, mutate, putChanged, requireInode, requireParent } from "./context.js";
import { FsError, NO_SUCH_NAME } from "./errors.js";
import type { Attributes } from "./file-system.js";
import type { Orphan } from "./inodes.js";
import { isDirectory, isRegular, S_IFMT } from "./modes.js";
import { requirePlace } from "./nodes.js";
import { dropLink, keepRemoved } from "./removal.js";

/**
 * Gives an inode one more name, or an O_TMPFILE its first.
 * @throws FsError exists, name-too-long, not-found, not-directory, not-permitted (a directory), too-many-links, read-only
 */
export function link(context: FsContext, ino: Ino, parent: Ino, name: Name): Attributes {
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) nameTemporary(context, ino, orphan, parent, name);
  else addLink(context, ino, parent, name);
  context.inodes.countLookup(ino);
  return attributesOf(context, ino);
}

function addLink(context: FsContext, ino: Ino, parent: Ino, name: Name): void {
  const { linkCountMax } = context.limits;
  mutate(context, (tx, time) => {
    requirePlace(context, tx, parent, name);
    const inode = namedInode(tx, ino);
    if (isDirectory(inode.mode)) throw new FsError("not-permitted", "a directory has one name only");
    if (inode.nlink >= linkCountMax) throw new FsError("too-many-links", `the file has ${inode.nlink} names`);
    putChanged(tx, ino, inode, time, { nlink: inode.nlink + 1 });
    tx.putDentry(parent, name, { ino, type: inode.mode & S_IFMT });
    tx.touch(parent, time, 0);
    tx.dependsOn({ directories: [parent], inodes: [ino], ...(isRegular(inode.mode) && { content: ino }) });
  });
}

function nameTemporary(context: FsContext, ino: Ino, orphan: Orphan, parent: Ino, name: Name): void {
  // link(2): what was unlinked cannot come back.
  if (!orphan.temporary) throw NO_SUCH_NAME;
  mutate(context, (tx, time) => {
    requirePlace(context, tx, parent, name);
    const { mtime } = contentState(context, tx, ino);
    tx.putInode(ino, { ...orphan.inode, nlink: 1, ctime: time });
    tx.putContent(ino, { sizeBytes: 0, mtime }, []);
    for (const [xattr, value] of orphan.xattrs) tx.putXattr(ino, xattr, value);
    tx.putDentry(parent, name, { ino, type: orphan.inode.mode & S_IFMT });
    tx.touch(parent, time, 0);
    tx.dependsOn({ directories: [parent], content: ino });
  });
  context.inodes.deleteOrphan(ino);
}

/** @throws FsError not-found, name-too-long, is-directory, read-only */
export function unlink(context: FsContext, parent: Ino, name: Name): void {
  checkName(context, name);
  const removed = mutate(context, (tx, time) => {
    requireParent(tx, parent);
    const dentry = tx.dentry(parent, name);
    if (dentry === undefined) throw NO_SUCH_NAME;
    const { ino } = dentry;
    const inode = requireInode(tx, ino);
    if (isDirectory(inode.mode)) throw new FsError("is-directory", "unlink does not remove directories");
    tx.deleteDentry(parent, name);
    tx.touch(parent, time, 0);
    tx.dependsOn({ directories: [parent], inodes: [ino] });
    return dropLink(context, tx, ino, inode, time);
  });
  keepRemoved(context, removed);
}
