import type { Ino, Name } from "../base/index.js";
import type { InodeRecord, Time } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { contentState } from "./attributes.js";
import { type FsContext, putChanged, requireDirectoryTimes } from "./context.js";
import type { Orphan } from "./inodes.js";
import { isRegular } from "./modes.js";

/** An inode that lost its last name, as it goes on in memory for those who still have it. */
export interface Removed {
  readonly ino: Ino;
  readonly orphan: Orphan;
}

/**
 * Takes one name from a file that is not a directory, and with the last one the file itself: the records go in this
 * operation, so that a crash leaves nothing behind, whoever has it open.
 * @returns what {@link keepRemoved} wants to hear of after the commit; undefined when the file has other names.
 */
export function dropLink(
  context: FsContext,
  tx: MetadataTransaction,
  ino: Ino,
  inode: InodeRecord,
  time: Time,
): Removed | undefined {
  const nlink = inode.nlink - 1;
  if (nlink > 0) {
    putChanged(tx, ino, inode, time, { nlink });
    return undefined;
  }
  const content = isRegular(inode.mode) ? contentState(context, tx, ino) : undefined;
  const xattrs = takeXattrs(tx, ino);
  if (content !== undefined) {
    // Before the content record goes: a cache that still fetches the file for a reader needs its chunk list.
    const unpublishedBytes = tx.local(ino)?.dirty ? content.sizeBytes : 0;
    context.cache.remove(tx, ino);
    tx.deleteContent(ino, unpublishedBytes);
  }
  tx.deleteInode(ino);
  const orphan: Orphan = {
    inode: { ...inode, nlink, ctime: time },
    sizeBytes: content?.sizeBytes ?? 0,
    mtime: content?.mtime ?? inode.mtime,
    xattrs,
    temporary: false,
  };
  return { ino, orphan };
}

/** Removes an empty directory. */
export function dropDirectory(tx: MetadataTransaction, ino: Ino, inode: InodeRecord, time: Time): Removed {
  const { mtime } = requireDirectoryTimes(tx, ino);
  const xattrs = takeXattrs(tx, ino);
  tx.deleteDirectoryTimes(ino);
  tx.deleteInode(ino);
  return {
    ino,
    orphan: { inode: { ...inode, nlink: 0, mtime, ctime: time }, sizeBytes: 0, mtime, xattrs, temporary: false },
  };
}

/** Keeps what was removed for as long as the kernel or a handle has it. */
export function keepRemoved(context: FsContext, removed: Removed | undefined): void {
  if (removed === undefined) return;
  const { ino, orphan } = removed;
  if (context.inodes.isKnown(ino) || context.handles.isOpen(ino)) context.inodes.addOrphan(ino, orphan);
}

/** Lets go of an inode without a name when nobody has it any more. */
export function dropUnusedOrphan(context: FsContext, ino: Ino): void {
  const orphan = context.inodes.orphan(ino);
  if (orphan === undefined || context.inodes.isKnown(ino) || context.handles.isOpen(ino)) return;
  context.inodes.deleteOrphan(ino);
  // What was unlinked is garbage already; a temporary file was an ordinary one to the cache until now.
  if (orphan.temporary) context.metadata.update((tx) => context.cache.remove(tx, ino));
}

/** Temporary files of a mount that was killed: dirty local images that no inode refers to. Once, at the start. */
export function dropLeftTemporaries(context: FsContext): void {
  const { metadata, cache } = context;
  const left = Array.from(metadata.dirtyFiles(), ([ino]) => ino).filter((ino) => metadata.inode(ino) === undefined);
  for (const ino of left) metadata.update((tx) => cache.remove(tx, ino));
}

function takeXattrs(tx: MetadataTransaction, ino: Ino): Map<Name, Uint8Array> {
  const xattrs = new Map<Name, Uint8Array>();
  for (const name of tx.xattrNames(ino)) {
    const value = tx.xattr(ino, name);
    if (value !== undefined) xattrs.set(name, Uint8Array.from(value));
    tx.deleteXattr(ino, name);
  }
  return xattrs;
}
