/** Flags of the FUSE protocol's fields, and those of Linux that Node does not name. */

/** fuse_setattr_in.valid (FATTR_*). */
export const SetattrValid = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  fh: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSuidgid: 1 << 11,
} as const;

/** fuse_open_in.open_flags: truncating must clear set-user-ID bits (FUSE_OPEN_KILL_SUIDGID). */
export const OPEN_KILL_SUIDGID = 1 << 0;

/** fuse_open_out.open_flags (FOPEN_*). */
export const OpenFlag = {
  keepCache: 1 << 1,
  noFlush: 1 << 5,
  passthrough: 1 << 7,
} as const;

/** fuse_fsync_in.fsync_flags: fdatasync (FUSE_FSYNC_FDATASYNC). */
export const FSYNC_DATA_ONLY = 1 << 0;

/** renameat2(2). */
export const RENAME_NOREPLACE = 1 << 0;
export const RENAME_EXCHANGE = 1 << 1;

/** statx(2): STATX_BASIC_STATS and STATX_BTIME. */
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
