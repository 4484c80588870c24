import type { Ino, Name, OpSeq } from "../base/index.js";
import type { InodeRecord, Time } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { fileAttributes, inodeAttributes } from "./attributes.js";
import { checkName, type FsContext, mutate, requireParent } from "./context.js";
import { FsError } from "./errors.js";
import type { Attributes, Caller } from "./file-system.js";
import {
  isDirectory,
  isRegular,
  PERMISSION_BITS,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
} from "./modes.js";

const SYMLINK_PERMISSIONS = 0o777;
const EMPTY_DIRECTORY_LINKS = 2;

/** What a new inode is to be. */
export interface NodeKind {
  /** File type and permissions, umask applied. */
  readonly mode: number;
  readonly rdev?: number;
  readonly target?: string;
}

/** Inodes are named by the operation that creates them: docs/decisions/0001. */
export function inoOf(seq: OpSeq): Ino {
  return seq as number as Ino;
}

/**
 * A directory that may take this new name.
 * @throws FsError name-too-long, not-found, not-directory, exists
 */
export function requirePlace(context: FsContext, tx: MetadataTransaction, parent: Ino, name: Name): InodeRecord {
  checkName(context, name);
  const directory = requireParent(tx, parent);
  if (tx.dentry(parent, name) !== undefined) throw new FsError("exists", "the name exists");
  return directory;
}

/**
 * The record of an inode made in `directory`: group and set-group-ID are inherited where the directory has that bit.
 * (inode_init_owner in the kernel's fs/inode.c; it has taken the bit from files already where it must.)
 */
export function newInode(
  caller: Caller,
  directory: InodeRecord,
  kind: NodeKind,
  nlink: number,
  time: Time,
): InodeRecord {
  const inherits = (directory.mode & S_ISGID) !== 0;
  return {
    mode: inherits && isDirectory(kind.mode) ? kind.mode | S_ISGID : kind.mode,
    uid: caller.uid,
    gid: inherits ? directory.gid : caller.gid,
    nlink,
    rdev: kind.rdev ?? 0,
    atime: time,
    mtime: time,
    ctime: time,
    btime: time,
    target: kind.target ?? "",
  };
}

/** Puts a new inode and its first name; the inode number is the operation's. */
export function putNew(tx: MetadataTransaction, parent: Ino, name: Name, inode: InodeRecord): Ino {
  const ino = inoOf(tx.seq);
  const type = inode.mode & S_IFMT;
  const { mtime, ctime } = inode;
  tx.putInode(ino, inode);
  if (type === S_IFDIR) tx.putDirectoryTimes(ino, { mtime, ctime, nlink: EMPTY_DIRECTORY_LINKS, seq: tx.seq });
  if (type === S_IFREG) tx.putContent(ino, { sizeBytes: 0, mtime }, []);
  tx.putDentry(parent, name, { ino, type });
  tx.touch(parent, ctime, type === S_IFDIR ? 1 : 0);
  tx.dependsOn({ directories: [parent], ...(type === S_IFREG && { content: ino }) });
  return ino;
}

/** @throws FsError exists, name-too-long, not-found, not-directory, invalid, read-only */
export function makeNode(
  context: FsContext,
  caller: Caller,
  parent: Ino,
  name: Name,
  mode: number,
  rdev: number,
): Attributes {
  // mknod(2): a type of zero is a regular file.
  const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
  const isDevice = type === S_IFCHR || type === S_IFBLK;
  if (!isDevice && type !== S_IFREG && type !== S_IFIFO && type !== S_IFSOCK) {
    throw new FsError("invalid", `mode ${mode.toString(8)} is of no file type that mknod makes`);
  }
  return make(context, caller, parent, name, { mode: type | (mode & PERMISSION_BITS), rdev: isDevice ? rdev : 0 });
}

/** @throws FsError exists, name-too-long, not-found, not-directory, read-only */
export function makeDirectory(context: FsContext, caller: Caller, parent: Ino, name: Name, mode: number): Attributes {
  return make(context, caller, parent, name, { mode: S_IFDIR | (mode & PERMISSION_BITS) });
}

/** @throws FsError exists, name-too-long (also for the target), not-found, not-directory, read-only */
export function makeSymlink(context: FsContext, caller: Caller, parent: Ino, name: Name, target: string): Attributes {
  const { symlinkBytesMax } = context.limits;
  if (target === "") throw new FsError("not-found", "a symlink must lead somewhere");
  if (target.length > symlinkBytesMax) {
    throw new FsError("name-too-long", `a target of ${target.length} bytes; at most ${symlinkBytesMax} are allowed`);
  }
  return make(context, caller, parent, name, { mode: S_IFLNK | SYMLINK_PERMISSIONS, target });
}

function make(context: FsContext, caller: Caller, parent: Ino, name: Name, kind: NodeKind): Attributes {
  const { ino, inode } = mutate(context, (tx, time) => {
    const directory = requirePlace(context, tx, parent, name);
    const inode = newInode(caller, directory, kind, 1, time);
    return { ino: putNew(tx, parent, name, inode), inode };
  });
  context.inodes.countLookup(ino);
  if (isRegular(inode.mode))
    return fileAttributes(ino, inode, { sizeBytes: 0, diskBytes: 0, mtime: inode.mtime, moving: false });
  return inodeAttributes(context, ino, inode);
}
