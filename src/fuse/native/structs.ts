/**
 * Where the fields of the FUSE protocol's structures are: byte offsets from the start of the request's or reply's
 * body, and the size of what has one. From include/uapi/linux/fuse.h, protocol 7.41; little-endian, as all machines
 * podfs runs on.
 */

/** struct fuse_in_header; offsets from the start of the message. */
export const InHeader = { opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32, size: 40 } as const;

export const ForgetIn = { nlookup: 0 } as const;
/** Followed by `count` times struct fuse_forget_one. */
export const BatchForgetIn = { count: 0, size: 8 } as const;
export const ForgetOne = { nodeid: 0, nlookup: 8, size: 16 } as const;
export const SetattrIn = {
  valid: 0,
  fh: 8,
  size: 16,
  atime: 32,
  mtime: 40,
  atimensec: 56,
  mtimensec: 60,
  mode: 68,
  uid: 76,
  gid: 80,
} as const;
/** Followed by the name, as all that have `names`. */
export const MknodIn = { mode: 0, rdev: 4, names: 16 } as const;
export const MkdirIn = { mode: 0, names: 8 } as const;
export const RenameIn = { newdir: 0, names: 8 } as const;
export const Rename2In = { newdir: 0, flags: 8, names: 16 } as const;
export const LinkIn = { oldnodeid: 0, names: 8 } as const;
export const OpenIn = { flags: 0, openFlags: 4 } as const;
export const CreateIn = { flags: 0, mode: 4, openFlags: 12, names: 16 } as const;
export const ReleaseIn = { fh: 0 } as const;
export const FlushIn = { fh: 0 } as const;
export const FsyncIn = { fh: 0, flags: 8 } as const;
/** Also of READDIR and READDIRPLUS. */
export const ReadIn = { fh: 0, offset: 8, size: 16 } as const;
export const LseekIn = { fh: 0, offset: 8, whence: 16 } as const;
export const FallocateIn = { fh: 0, offset: 8, length: 16, mode: 24 } as const;
export const CopyFileRangeIn = { fhIn: 0, offIn: 8, fhOut: 24, offOut: 32, len: 40, flags: 48 } as const;
/** The short form: the longer one comes only where FUSE_SETXATTR_EXT was asked for. */
export const SetxattrIn = { size: 0, flags: 4, names: 8 } as const;
export const GetxattrIn = { size: 0, names: 8 } as const;
export const InterruptIn = { unique: 0 } as const;

/** struct fuse_attr. */
export const Attr = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
  bytes: 88,
} as const;
export const EntryOut = {
  nodeid: 0,
  generation: 8,
  entryValid: 16,
  attrValid: 24,
  entryValidNsec: 32,
  attrValidNsec: 36,
  attr: 40,
  bytes: 128,
} as const;
export const AttrOut = { attrValid: 0, attrValidNsec: 8, dummy: 12, attr: 16, bytes: 104 } as const;
/** struct fuse_statx_out with its struct fuse_statx at `stat`. */
export const StatxOut = { attrValid: 0, attrValidNsec: 8, flags: 12, stat: 32, bytes: 288 } as const;
export const Statx = {
  mask: 0,
  blksize: 4,
  nlink: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  blocks: 48,
  atime: 64,
  btime: 80,
  ctime: 96,
  mtime: 112,
  rdevMajor: 128,
  rdevMinor: 132,
} as const;
export const OpenOut = { fh: 0, openFlags: 8, backingId: 12, bytes: 16 } as const;
export const StatfsOut = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
  bytes: 80,
} as const;
/** Followed by the name, zero-padded to a multiple of 8. In READDIRPLUS a struct fuse_entry_out goes before it. */
export const Dirent = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const;
export const GetxattrOut = { size: 0, bytes: 8 } as const;
export const WriteOut = { size: 0, bytes: 8 } as const;
export const CopyFileRangeOut = { bytesCopied: 0, bytes: 8 } as const;
export const LseekOut = { offset: 0, bytes: 8 } as const;
