import { PodfsError } from "../base/index.js";

/** Why the filesystem refuses an operation. `fuse/errno` maps every kind to one errno; SEMANTICS has the table. */
export type FsErrorKind =
  /** No such name, or the directory it should be in was removed. → ENOENT */
  | "not-found"
  /** The inode number means nothing any more: the file was deleted while the request was on its way. → ESTALE */
  | "stale"
  /** → EEXIST */
  | "exists"
  /** → ENOTDIR */
  | "not-directory"
  /** → EISDIR */
  | "is-directory"
  /** → ENOTEMPTY */
  | "not-empty"
  /** Longer than 255 bytes, or a symlink target longer than 4095. → ENAMETOOLONG */
  | "name-too-long"
  /** No such extended attribute. → ENODATA */
  | "no-attribute"
  /** Never allowed, to nobody: a hard link to a directory, setting an attribute of the mount's own. → EPERM */
  | "not-permitted"
  /** Nonsense in an argument. → EINVAL */
  | "invalid"
  /** A feature this filesystem does not have: POSIX ACLs. → EOPNOTSUPP */
  | "not-supported"
  /** An extended attribute's value is larger than 64 KiB. → E2BIG */
  | "too-big"
  /** An extended attribute's name is empty or longer than 255 bytes. → ERANGE */
  | "range"
  /** Beyond the largest file size. → EFBIG */
  | "file-too-large"
  /** More hard links than a file may have. → EMLINK */
  | "too-many-links"
  /** The mount is read-only. → EROFS */
  | "read-only"
  /** All names of a file's extended attributes together would be longer than 64 KiB. → ENOSPC */
  | "no-space"
  /** A handle that is not open, or not open for writing. → EBADF */
  | "bad-handle"
  /** SEEK_DATA or SEEK_HOLE at or beyond the end. → ENXIO */
  | "no-data-beyond";

/** What the filesystem's own rules refuse. What a disk or a network refuses is a CacheError, MetaError or BackendError. */
export class FsError extends PodfsError<FsErrorKind> {
  override readonly name = "FsError";
}

/**
 * Ready-made, because they are answers rather than failures: programs ask for names that are not there thousands of times
 * when they start, the kernel for attributes at each write; and capturing a stack costs more than the whole request.
 */
export const NO_SUCH_NAME = new FsError("not-found", "no such name");
export const NO_SUCH_ATTRIBUTE = new FsError("no-attribute", "no such extended attribute");
