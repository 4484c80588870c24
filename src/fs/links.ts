import type { Ino, Name } from "../base/index.js";
import type { InodeRecord } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { attributesOf, contentState, namedInode } from "./attributes.js";
import { checkName, type FsContext, mutate, putChanged, requireInode, requireParent } from "./context.js";
import { FsError, NO_SUCH_NAME } from "./errors.js";
import type { Attributes, LinkMode } from "./file-system.js";
import type { Orphan } from "./inodes.js";
import { isDirectory, isRegular, S_IFMT } from "./modes.js";
import { requirePlace } from "./nodes.js";
import { dropLink, keepRemoved } from "./removal.js";

interface NamedInode {
  readonly ino: Ino;
  readonly inode: InodeRecord;
}

/** A name in a directory. */
interface Place {
  readonly parent: Ino;
  readonly name: Name;
}

/**
 * Gives an inode one more name, or an O_TMPFILE its first; that one also in place of another file: what link(2) and rename(2)
 * over it do, as one operation, so that a crash leaves no third name.
 * @throws FsError exists, name-too-long, not-found, not-directory, is-directory (to be replaced), not-permitted (to be
 *   linked), too-many-links, invalid, read-only
 */
export function link(context: FsContext, ino: Ino, place: Place, mode: LinkMode): Attributes {
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) nameTemporary(context, ino, orphan, place, mode);
  else if (mode === "no-replace") addLink(context, ino, place);
  else throw new FsError("invalid", "only a file without a name replaces another in one step");
  context.inodes.countLookup(ino);
  return attributesOf(context, ino);
}

function addLink(context: FsContext, ino: Ino, { parent, name }: Place): void {
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

function nameTemporary(context: FsContext, ino: Ino, orphan: Orphan, place: Place, mode: LinkMode): void {
  // link(2): what was unlinked cannot come back.
  if (!orphan.temporary) throw NO_SUCH_NAME;
  const { parent, name } = place;
  const removed = mutate(context, (tx, time) => {
    const replaced = mode === "replace" ? replaceable(context, tx, place) : undefined;
    if (replaced === undefined) requirePlace(context, tx, parent, name);
    const { mtime } = contentState(context, tx, ino);
    tx.putInode(ino, { ...orphan.inode, nlink: 1, ctime: time });
    tx.putContent(ino, { sizeBytes: 0, mtime }, []);
    for (const [xattr, value] of orphan.xattrs) tx.putXattr(ino, xattr, value);
    tx.putDentry(parent, name, { ino, type: orphan.inode.mode & S_IFMT });
    tx.touch(parent, time, 0);
    tx.dependsOn({
      directories: [parent],
      // Never ahead of what it makes visible: DESIGN section 4, promise 2.
      content: ino,
      ...(replaced !== undefined && { inodes: [replaced.ino] }),
    });
    return replaced && dropLink(context, tx, replaced.ino, replaced.inode, time);
  });
  context.inodes.deleteOrphan(ino);
  keepRemoved(context, removed);
}

/** The file that has this name, if any. @throws FsError is-directory, not-found, not-directory, name-too-long, invalid */
function replaceable(context: FsContext, tx: MetadataTransaction, { parent, name }: Place): NamedInode | undefined {
  checkName(context, name);
  requireParent(tx, parent);
  const dentry = tx.dentry(parent, name);
  if (dentry === undefined) return undefined;
  const inode = requireInode(tx, dentry.ino);
  if (isDirectory(inode.mode)) throw new FsError("is-directory", "a file cannot replace a directory");
  return { ino: dentry.ino, inode };
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
