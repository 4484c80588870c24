import type { HandleId, Name } from "../../base/index.js";
import type { Attributes, FileSystemTotals } from "../../fs/index.js";
import type { Validity } from "../transport.js";
import { STATX_BASIC_STATS, STATX_BTIME } from "./flags.js";
import {
  Attr,
  AttrOut,
  CopyFileRangeOut,
  EntryOut,
  GetxattrOut,
  LseekOut,
  OpenOut,
  StatfsOut,
  Statx,
  StatxOut,
  WriteOut,
} from "./structs.js";

const TWO_POW_32 = 0x1_0000_0000;
const STAT_BLOCK_BYTES = 512;
/** st_blksize, a local filesystem's: C's stdio reads as much at each seek, which a larger one would make a waste. */
const PREFERRED_IO_BYTES = 4096;
/** f_frsize: the unit of statfs's block counts. */
const STATFS_BLOCK_BYTES = 4096;

/** What the kernel needs to use an open file. */
export interface OpenReply {
  readonly handle: HandleId;
  /** FOPEN_*. */
  readonly flags: number;
  /** 0 without passthrough. */
  readonly backingId: number;
}

/**
 * Writes reply bodies to the engine's reply buffer. Methods that answer a request return the body's length; those with
 * `at` write one part of a body at that offset.
 */
export class Reply {
  readonly bytes: Buffer;
  readonly #view: DataView;
  readonly #validity: Validity;

  /** @param bytes the engine's reply buffer, borrowed for the session's life */
  constructor(bytes: Uint8Array, validity: Validity) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#validity = validity;
  }

  get capacity(): number {
    return this.bytes.byteLength;
  }

  /** fuse_entry_out. */
  entry(attributes: Attributes, at = 0): number {
    this.u64(at + EntryOut.nodeid, attributes.ino);
    // Inode numbers are never used again, so one generation is enough.
    this.u64(at + EntryOut.generation, 0);
    this.#valid(at + EntryOut.entryValid, at + EntryOut.entryValidNsec, this.#validity.namesMs);
    this.#valid(at + EntryOut.attrValid, at + EntryOut.attrValidNsec, this.#attributesMs(attributes));
    this.#attributes(at + EntryOut.attr, attributes);
    return EntryOut.bytes;
  }

  /** "No such name", which the kernel may keep: an entry with inode number 0. */
  absentEntry(): number {
    this.bytes.fill(0, 0, EntryOut.bytes);
    this.#valid(EntryOut.entryValid, EntryOut.entryValidNsec, this.#validity.absentNamesMs);
    return EntryOut.bytes;
  }

  /** fuse_attr_out. */
  attributes(attributes: Attributes): number {
    this.#valid(AttrOut.attrValid, AttrOut.attrValidNsec, this.#attributesMs(attributes));
    this.u32(AttrOut.dummy, 0);
    this.#attributes(AttrOut.attr, attributes);
    return AttrOut.bytes;
  }

  /** fuse_statx_out: attributes, and when the file was made. */
  statx(attributes: Attributes): number {
    this.bytes.fill(0, 0, StatxOut.bytes);
    this.#valid(StatxOut.attrValid, StatxOut.attrValidNsec, this.#attributesMs(attributes));
    const at = StatxOut.stat;
    this.u32(at + Statx.mask, STATX_BASIC_STATS | STATX_BTIME);
    this.u32(at + Statx.blksize, PREFERRED_IO_BYTES);
    this.u32(at + Statx.nlink, attributes.nlink);
    this.u32(at + Statx.uid, attributes.uid);
    this.u32(at + Statx.gid, attributes.gid);
    this.#view.setUint16(at + Statx.mode, attributes.mode, true);
    this.u64(at + Statx.ino, attributes.ino);
    this.u64(at + Statx.size, attributes.sizeBytes);
    this.u64(at + Statx.blocks, Math.ceil(attributes.diskBytes / STAT_BLOCK_BYTES));
    for (const field of ["atime", "btime", "ctime", "mtime"] as const) {
      this.u64(at + Statx[field], attributes[field].sec);
      this.u32(at + Statx[field] + 8, attributes[field].nsec);
    }
    // The kernel's new_encode_dev(), taken apart.
    this.u32(at + Statx.rdevMajor, (attributes.rdev >>> 8) & 0xfff);
    this.u32(at + Statx.rdevMinor, (attributes.rdev & 0xff) | ((attributes.rdev >>> 12) & 0xfff00));
    return StatxOut.bytes;
  }

  /** fuse_open_out. */
  open({ handle, flags, backingId }: OpenReply, at = 0): number {
    this.u64(at + OpenOut.fh, handle);
    this.u32(at + OpenOut.openFlags, flags);
    this.#view.setInt32(at + OpenOut.backingId, backingId, true);
    return OpenOut.bytes;
  }

  /** The body of CREATE and TMPFILE: the entry, then the open file. */
  created(attributes: Attributes, opened: OpenReply): number {
    return this.entry(attributes) + this.open(opened, EntryOut.bytes);
  }

  /** fuse_statfs_out. */
  totals(totals: FileSystemTotals): number {
    this.bytes.fill(0, 0, StatfsOut.bytes);
    this.u64(StatfsOut.blocks, Math.floor(totals.totalBytes / STATFS_BLOCK_BYTES));
    this.u64(StatfsOut.bfree, Math.floor(totals.freeBytes / STATFS_BLOCK_BYTES));
    this.u64(StatfsOut.bavail, Math.floor(totals.freeBytes / STATFS_BLOCK_BYTES));
    this.u64(StatfsOut.files, totals.files);
    this.u64(StatfsOut.ffree, totals.freeFiles);
    this.u32(StatfsOut.bsize, STATFS_BLOCK_BYTES);
    this.u32(StatfsOut.namelen, totals.nameBytesMax);
    this.u32(StatfsOut.frsize, STATFS_BLOCK_BYTES);
    return StatfsOut.bytes;
  }

  /** The bytes of a name or a symlink's target, without a NUL. */
  name(name: Name, at = 0): number {
    return this.bytes.write(name, at, "latin1");
  }

  data(data: Uint8Array): number {
    this.bytes.set(data);
    return data.byteLength;
  }

  /** fuse_getxattr_out: how large a value or list is. */
  xattrSize(sizeBytes: number): number {
    this.u64(GetxattrOut.size, sizeBytes);
    return GetxattrOut.bytes;
  }

  /** fuse_write_out: how many bytes were copied. */
  written(count: number): number {
    this.u64(WriteOut.size, count);
    return WriteOut.bytes;
  }

  /** fuse_copy_file_range_out. */
  copied(count: number): number {
    this.u64(CopyFileRangeOut.bytesCopied, count);
    return CopyFileRangeOut.bytes;
  }

  /** fuse_lseek_out. */
  position(offset: number): number {
    this.u64(LseekOut.offset, offset);
    return LseekOut.bytes;
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Also of negative numbers: seconds before 1970. */
  u64(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
    this.#view.setInt32(at + 4, Math.floor(value / TWO_POW_32), true);
  }

  #attributesMs(attributes: Attributes): number {
    return attributes.cacheable ? this.#validity.attributesMs : this.#validity.writtenAttributesMs;
  }

  #valid(secondsAt: number, nanosecondsAt: number, validMs: number): void {
    const seconds = Math.floor(validMs / 1000);
    this.u64(secondsAt, seconds);
    this.u32(nanosecondsAt, (validMs - seconds * 1000) * 1_000_000);
  }

  #attributes(at: number, attributes: Attributes): void {
    this.u64(at + Attr.ino, attributes.ino);
    this.u64(at + Attr.size, attributes.sizeBytes);
    this.u64(at + Attr.blocks, Math.ceil(attributes.diskBytes / STAT_BLOCK_BYTES));
    this.u64(at + Attr.atime, attributes.atime.sec);
    this.u64(at + Attr.mtime, attributes.mtime.sec);
    this.u64(at + Attr.ctime, attributes.ctime.sec);
    this.u32(at + Attr.atimensec, attributes.atime.nsec);
    this.u32(at + Attr.mtimensec, attributes.mtime.nsec);
    this.u32(at + Attr.ctimensec, attributes.ctime.nsec);
    this.u32(at + Attr.mode, attributes.mode);
    this.u32(at + Attr.nlink, attributes.nlink);
    this.u32(at + Attr.uid, attributes.uid);
    this.u32(at + Attr.gid, attributes.gid);
    this.u32(at + Attr.rdev, attributes.rdev);
    this.u32(at + Attr.blksize, PREFERRED_IO_BYTES);
    this.u32(at + Attr.flags, 0);
  }
}
