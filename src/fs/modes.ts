/** Linux's numbers for file types, permission bits and flags: include/uapi/linux/stat.h, fcntl.h, xattr.h. */
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_IXGRP = 0o0010;
/** Everything chmod may set. */
export const PERMISSION_BITS = 0o7777;

export const O_ACCMODE = 0o3;
export const O_RDONLY = 0;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

export function isDirectory(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isRegular(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

/** Whether a write by an unprivileged user must change the mode. */
export function hasPrivileges(mode: number): boolean {
  return withoutPrivileges(mode) !== mode;
}

/**
 * The mode without set-user-ID, and without set-group-ID where that means a privilege: without group execute it
 * marks mandatory locking, and on a directory inheritance (setattr_should_drop_sgid in the kernel's fs/attr.c).
 */
export function withoutPrivileges(mode: number): number {
  if (isDirectory(mode)) return mode;
  return mode & ~S_ISUID & ~((mode & S_IXGRP) === 0 ? 0 : S_ISGID);
}
