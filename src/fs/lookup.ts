import type { Ino, Name } from "../base/index.js";
import { attributesOf, inodeAttributes, namedInode } from "./attributes.js";
import { checkName, type FsContext, requireInode } from "./context.js";
import { FsError, NO_SUCH_NAME } from "./errors.js";
import type { Attributes } from "./file-system.js";
import { S_IFLNK, S_IFMT } from "./modes.js";
import { dropUnusedOrphan } from "./removal.js";

/** @throws FsError not-found, name-too-long */
export function lookup(context: FsContext, parent: Ino, name: Name): Attributes {
  checkName(context, name);
  const dentry = context.metadata.dentry(parent, name);
  if (dentry === undefined) throw NO_SUCH_NAME;
  const { ino } = dentry;
  const attributes = inodeAttributes(context, ino, requireInode(context.metadata, ino));
  context.inodes.countLookup(ino);
  return attributes;
}

export function forget(context: FsContext, ino: Ino, lookups: number): void {
  if (context.inodes.forget(ino, lookups)) dropUnusedOrphan(context, ino);
}

/** @throws FsError stale */
export function getAttributes(context: FsContext, ino: Ino): Attributes {
  return attributesOf(context, ino);
}

/** @throws FsError invalid when it is no symlink */
export function readLink(context: FsContext, ino: Ino): Name {
  const inode = context.inodes.orphan(ino)?.inode ?? namedInode(context.metadata, ino);
  if ((inode.mode & S_IFMT) !== S_IFLNK) throw new FsError("invalid", `inode ${ino} is not a symlink`);
  return inode.target as Name;
}
