import type { Ino, Name } from "../base/index.js";
import { nowOf } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { namedInode } from "./attributes.js";
import { type FsContext, mutate, putChanged, requireWritable } from "./context.js";
import { FsError, NO_SUCH_ATTRIBUTE } from "./errors.js";
import type { Orphan } from "./inodes.js";
import { XATTR_CREATE, XATTR_REPLACE } from "./modes.js";

/** Namespaces that are stored. What else there is means something to the filesystem itself: POSIX ACLs. */
const NAMESPACES = ["user.", "trusted.", "security."];
/**
 * What podfs itself says of a mount. Nobody else can set such a name, or a volume could make programs believe things of
 * every machine that mounts it.
 */
const OWN_PREFIX = "user.podfs.";

/** @throws FsError no-attribute, not-supported, stale */
export function getXattr(context: FsContext, ino: Ino, name: Name): Uint8Array {
  requireNamespace(name);
  if (name.startsWith(OWN_PREFIX)) return mountXattr(context, name);
  const orphan = context.inodes.orphan(ino);
  // The kernel asks for security.capability before each write: one lookup of a key, and no error is made.
  const value = orphan === undefined ? context.metadata.xattr(ino, name) : orphan.xattrs.get(name);
  if (value === undefined) throw NO_SUCH_ATTRIBUTE;
  return value;
}

export function listXattrs(context: FsContext, ino: Ino): readonly Name[] {
  const orphan = context.inodes.orphan(ino);
  return orphan === undefined ? context.metadata.xattrNames(ino) : [...orphan.xattrs.keys()];
}

/** @throws FsError exists, no-attribute, range, too-big, no-space, invalid, not-permitted, not-supported, read-only, stale */
export function setXattr(context: FsContext, ino: Ino, name: Name, value: Uint8Array, flags: number): void {
  requireStorable(name);
  checkSizes(context, name, value);
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw new FsError("invalid", `setxattr flags ${flags}`);
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) {
    requireWritable(context);
    requireWanted(orphan.xattrs.has(name), flags);
    orphan.xattrs.set(name, Uint8Array.from(value));
    restamp(context, orphan);
    return;
  }
  mutate(context, (tx, time) => {
    const inode = namedInode(tx, ino);
    const exists = tx.xattr(ino, name) !== undefined;
    requireWanted(exists, flags);
    if (!exists) requireRoomInList(context, tx, ino, name);
    tx.putXattr(ino, name, value);
    putChanged(tx, ino, inode, time);
    tx.dependsOn({ inodes: [ino] });
  });
}

/** @throws FsError no-attribute, not-permitted, not-supported, read-only, stale */
export function removeXattr(context: FsContext, ino: Ino, name: Name): void {
  requireStorable(name);
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) {
    requireWritable(context);
    if (!orphan.xattrs.delete(name)) throw NO_SUCH_ATTRIBUTE;
    restamp(context, orphan);
    return;
  }
  mutate(context, (tx, time) => {
    const inode = namedInode(tx, ino);
    if (tx.xattr(ino, name) === undefined) throw NO_SUCH_ATTRIBUTE;
    tx.deleteXattr(ino, name);
    putChanged(tx, ino, inode, time);
    tx.dependsOn({ inodes: [ino] });
  });
}

function requireNamespace(name: Name): void {
  if (NAMESPACES.some((namespace) => name.startsWith(namespace))) return;
  throw new FsError("not-supported", "only user., trusted. and security. attributes are stored");
}

function requireStorable(name: Name): void {
  requireNamespace(name);
  if (name.startsWith(OWN_PREFIX))
    throw new FsError("not-permitted", `attributes below ${OWN_PREFIX} are the mount's own`);
}

function mountXattr(context: FsContext, name: Name): Uint8Array {
  const value = context.mountXattrs.get(name);
  if (value === undefined) throw NO_SUCH_ATTRIBUTE;
  return value;
}

function checkSizes(context: FsContext, name: Name, value: Uint8Array): void {
  const { xattrNameBytesMax, xattrValueBytesMax } = context.limits;
  if (name.length > xattrNameBytesMax) {
    throw new FsError("range", `an attribute name of ${name.length} bytes; at most ${xattrNameBytesMax} are allowed`);
  }
  if (value.length > xattrValueBytesMax) {
    throw new FsError("too-big", `an attribute of ${value.length} bytes; at most ${xattrValueBytesMax} are allowed`);
  }
}

function requireWanted(exists: boolean, flags: number): void {
  if (exists && (flags & XATTR_CREATE) !== 0) throw new FsError("exists", "the extended attribute exists");
  if (!exists && (flags & XATTR_REPLACE) !== 0) throw NO_SUCH_ATTRIBUTE;
}

/** What listxattr(2) could not return must not come to be. */
function requireRoomInList(context: FsContext, tx: MetadataTransaction, ino: Ino, name: Name): void {
  const names = tx.xattrNames(ino);
  const listBytes = names.reduce((bytes, other) => bytes + other.length + 1, name.length + 1);
  if (listBytes > context.limits.xattrListBytesMax) {
    throw new FsError("no-space", `the names of ${names.length + 1} attributes take ${listBytes} bytes`);
  }
}

function restamp(context: FsContext, orphan: Orphan): void {
  orphan.inode = { ...orphan.inode, ctime: nowOf(context.clock) };
}
