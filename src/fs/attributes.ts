import { assert, type Ino } from "../base/index.js";
import type { InodeRecord, Time } from "../format/index.js";
import type { MetadataView } from "../meta/index.js";
import { type FsContext, requireDirectoryTimes } from "./context.js";
import { FsError } from "./errors.js";
import type { Attributes } from "./file-system.js";
import type { Orphan } from "./inodes.js";
import { isDirectory, isRegular } from "./modes.js";
import { fileTimes } from "./times.js";

/** What `du` and `ls` are used to; a directory's entries take no space of their own in a volume. */
const DIRECTORY_SIZE_BYTES = 4096;
const STAT_BLOCK_BYTES = 512;

/** Of an inode with or without a name. @throws FsError stale */
export function attributesOf(context: FsContext, ino: Ino): Attributes {
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) return orphanAttributes(context, ino, orphan);
  return inodeAttributes(context, ino, namedInode(context.metadata, ino));
}

/** @throws FsError stale: the inode is gone, or has no name */
export function namedInode(view: MetadataView, ino: Ino): InodeRecord {
  const inode = view.inode(ino);
  if (inode === undefined) throw new FsError("stale", `there is no inode ${ino} any more`);
  return inode;
}

/** Of an inode that has a name and this record. */
export function inodeAttributes(context: FsContext, ino: Ino, inode: InodeRecord): Attributes {
  if (isDirectory(inode.mode)) {
    const { mtime, ctime, nlink } = requireDirectoryTimes(context.metadata, ino);
    const { mode, uid, gid, rdev, atime, btime } = inode;
    const sizeBytes = DIRECTORY_SIZE_BYTES;
    return { ino, mode, nlink, uid, gid, rdev, sizeBytes, diskBytes: 0, atime, mtime, ctime, btime, cacheable: true };
  }
  if (isRegular(inode.mode)) return fileAttributes(ino, inode, contentState(context, context.metadata, ino));
  return plainAttributes(ino, inode);
}

/** Size and mtime of a regular file's content, and who may change them without asking. */
export interface ContentState {
  readonly sizeBytes: number;
  readonly diskBytes: number;
  readonly mtime: Time;
  /** Somebody has it open for writing. */
  readonly moving: boolean;
}

/**
 * The open file knows best, then the record of the dirty local image, then the volume's (docs/decisions/0001).
 */
export function contentState(context: FsContext, view: MetadataView, ino: Ino): ContentState {
  const open = context.cache.opened(ino);
  if (open !== undefined && open.writers > 0) {
    const { sizeBytes, diskBytes, mtime } = open.stat();
    return { sizeBytes, diskBytes, mtime, moving: true };
  }
  const local = view.local(ino);
  if (local?.dirty) {
    return { sizeBytes: local.sizeBytes, diskBytes: local.diskBytes, mtime: local.mtime, moving: false };
  }
  const content = view.content(ino);
  assert(content !== undefined, `regular file ${ino} has no content record`);
  return { sizeBytes: content.sizeBytes, diskBytes: content.sizeBytes, mtime: content.mtime, moving: false };
}

export function fileAttributes(ino: Ino, inode: InodeRecord, content: ContentState): Attributes {
  const { mode, nlink, uid, gid, rdev, atime, btime } = inode;
  const { mtime, ctime } = fileTimes(inode, content.mtime);
  const { sizeBytes } = content;
  const diskBytes = Math.ceil(content.diskBytes / STAT_BLOCK_BYTES) * STAT_BLOCK_BYTES;
  const cacheable = !content.moving;
  return { ino, mode, nlink, uid, gid, rdev, sizeBytes, diskBytes, atime, mtime, ctime, btime, cacheable };
}

function orphanAttributes(context: FsContext, ino: Ino, orphan: Orphan): Attributes {
  const { inode, sizeBytes, mtime } = orphan;
  if (!isRegular(inode.mode)) return plainAttributes(ino, inode);
  const open = context.cache.opened(ino);
  const moving = open !== undefined && open.writers > 0;
  return fileAttributes(
    ino,
    inode,
    moving ? { ...open.stat(), moving } : { sizeBytes, diskBytes: sizeBytes, mtime, moving },
  );
}

/** Of what has neither content nor entries: symlinks, fifos, sockets, devices, removed directories. */
function plainAttributes(ino: Ino, inode: InodeRecord): Attributes {
  const { mode, nlink, uid, gid, rdev, atime, mtime, ctime, btime, target } = inode;
  const sizeBytes = isDirectory(mode) ? DIRECTORY_SIZE_BYTES : target.length;
  return { ino, mode, nlink, uid, gid, rdev, sizeBytes, diskBytes: 0, atime, mtime, ctime, btime, cacheable: true };
}
