import type { Attributes, FileSystemTotals } from "../../fs/index.js";
import type { PackageStat, PackageStatfs } from "./package.js";

const STAT_BLOCK_BYTES = 512;
const PREFERRED_IO_BYTES = 4096;
const STATFS_BLOCK_BYTES_MIN = 4096;
const UINT32_MAX = 0xffff_ffff;

type Time = Attributes["mtime"];

/** The package's times are milliseconds since 1970, and not before. */
export function timeOfMs(ms: number): Time {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.floor(ms - sec * 1000) * 1_000_000 };
}

export function msOfTime({ sec, nsec }: Time): number {
  return Math.max(0, sec * 1000 + Math.floor(nsec / 1_000_000));
}

export function statOf(attributes: Attributes): PackageStat {
  const { mode, nlink, uid, gid, rdev } = attributes;
  return {
    mode,
    nlink,
    uid,
    gid,
    rdev,
    size: attributes.sizeBytes,
    dev: 0,
    ino: inoOf(attributes.ino),
    blksize: PREFERRED_IO_BYTES,
    blocks: Math.ceil(attributes.diskBytes / STAT_BLOCK_BYTES),
    atime: msOfTime(attributes.atime),
    mtime: msOfTime(attributes.mtime),
    ctime: msOfTime(attributes.ctime),
  };
}

/** The package's inode numbers have 32 bits. */
export function inoOf(ino: number): number {
  return ino % (UINT32_MAX + 1);
}

/** In blocks that are large enough for the counts to fit 32 bits. */
export function statfsOf(totals: FileSystemTotals): PackageStatfs {
  let blockBytes = STATFS_BLOCK_BYTES_MIN;
  while (totals.totalBytes / blockBytes > UINT32_MAX) blockBytes *= 2;
  const free = Math.floor(totals.freeBytes / blockBytes);
  const freeFiles = Math.min(totals.freeFiles, UINT32_MAX);
  return {
    bsize: blockBytes,
    frsize: blockBytes,
    blocks: Math.floor(totals.totalBytes / blockBytes),
    bfree: free,
    bavail: free,
    files: Math.min(totals.files, UINT32_MAX),
    ffree: freeFiles,
    favail: freeFiles,
    fsid: 0,
    flag: 0,
    namemax: totals.nameBytesMax,
  };
}
