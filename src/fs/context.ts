import { assert, type Clock, type Ino, type Name } from "../base/index.js";
import type { ContentCache } from "../cache/index.js";
import { type DirectoryTimes, type InodeRecord, nowOf, type Time } from "../format/index.js";
import type { Metadata, MetadataTransaction, MetadataView } from "../meta/index.js";
import type { Durability, Publisher } from "../publish/index.js";
import { FsError, NO_SUCH_NAME } from "./errors.js";
import type { HandleTable } from "./handles.js";
import type { InodeTable } from "./inodes.js";
import type { FileSystemLimits } from "./limits.js";
import { isDirectory } from "./modes.js";

/** What every operation works on. Only `inodes` and `handles` belong to the filesystem itself, and live in memory. */
export interface FsContext {
  readonly metadata: Metadata;
  readonly cache: ContentCache;
  readonly publisher: Pick<Publisher, "syncInode" | "syncDirectory">;
  readonly clock: Clock;
  readonly durability: Durability;
  /** Also once the right to write is lost. */
  readonly isReadOnly: () => boolean;
  readonly limits: FileSystemLimits;
  /** Extended attributes that tell of the mount: the same for every inode, neither stored nor listed. */
  readonly mountXattrs: ReadonlyMap<Name, Uint8Array>;
  readonly inodes: InodeTable;
  readonly handles: HandleTable;
}

/** @throws FsError read-only */
export function requireWritable(context: FsContext): void {
  if (context.isReadOnly()) throw new FsError("read-only", "this mount is read-only");
}

/**
 * Runs one mutating operation as one transaction. `change` keeps to the transaction: what it has to do to memory, its
 * caller does with the result, once that is committed.
 * @throws FsError read-only, and whatever `change` throws, with nothing changed
 */
export function mutate<T>(context: FsContext, change: (tx: MetadataTransaction, time: Time) => T): T {
  requireWritable(context);
  return context.metadata.update((tx) => change(tx, nowOf(context.clock)));
}

/** @throws FsError name-too-long, invalid */
export function checkName(context: FsContext, name: Name): void {
  if (name.length > context.limits.nameBytesMax) {
    throw new FsError(
      "name-too-long",
      `a name of ${name.length} bytes; at most ${context.limits.nameBytesMax} are allowed`,
    );
  }
  if (name === "" || name === "." || name === ".." || name.includes("/")) {
    throw new FsError("invalid", `${JSON.stringify(name)} cannot be the name of a file`);
  }
}

/** The inode of a dentry, which must exist: both are written by the same operations. */
export function requireInode(view: MetadataView, ino: Ino): InodeRecord {
  const inode = view.inode(ino);
  assert(inode !== undefined, `a name refers to inode ${ino}, which does not exist`);
  return inode;
}

export function requireDirectoryTimes(view: MetadataView, ino: Ino): DirectoryTimes {
  const times = view.directoryTimes(ino);
  assert(times !== undefined, `directory ${ino} has no times`);
  return times;
}

/**
 * The directory in which a name is to be made, changed or removed.
 * @throws FsError not-found when it has been removed (somebody is still in it), not-directory
 */
export function requireParent(view: MetadataView, ino: Ino): InodeRecord {
  const inode = view.inode(ino);
  if (inode === undefined) throw NO_SUCH_NAME;
  if (!isDirectory(inode.mode)) throw new FsError("not-directory", `inode ${ino} is not a directory`);
  return inode;
}

/**
 * Changes an inode and its ctime. A directory's ctime is in its times record, where it commutes with what happens in the
 * directory; `mtime` there stays as it is.
 */
export function putChanged(
  tx: MetadataTransaction,
  ino: Ino,
  inode: InodeRecord,
  time: Time,
  changes: Partial<Omit<InodeRecord, "ctime">> = {},
): void {
  if (isDirectory(inode.mode)) {
    tx.putInode(ino, { ...inode, ...changes });
    tx.putDirectoryTimes(ino, { ...requireDirectoryTimes(tx, ino), ctime: time });
  } else tx.putInode(ino, { ...inode, ...changes, ctime: time });
}
