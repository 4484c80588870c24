import type { ChunkHash, Epoch, Ino, Name, OpSeq, PackId, SegmentSeq } from "../../src/base/index.js";
import {
  type CheckpointHeader,
  chunkKey,
  coalesce,
  contentKey,
  type Descriptor,
  dentryKey,
  directoryTimesKey,
  encodeChunkRecord,
  encodeContent,
  encodeDentry,
  encodeDirectoryTimes,
  encodeExtent,
  encodeInode,
  encodePackRecord,
  extentKey,
  inodeKey,
  type KeyValue,
  type Lease,
  type LogEntry,
  packKey,
  type SegmentPart,
  xattrKey,
} from "../../src/format/index.js";

/** What the fixtures of format version 1 hold. Never edited: a new value is a new fixture. */

const DIRECTORY = 1 as Ino;
const FILE = 0x0102030405 as Ino;
const LINK = 7 as Ino;
const HASH = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" as ChunkHash;
const PACK = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f" as PackId;
const NAME = "caf\xc3\xa9" as Name;
const seq = (number: number): OpSeq => number as OpSeq;

const mtime = { sec: 1_790_000_000, nsec: 123_456_789 };
const ctime = { sec: 1_790_000_001, nsec: 1 };
const before1970 = { sec: -2, nsec: 999_999_999 };

export const INODE = {
  mode: 0o120777,
  uid: 1000,
  gid: 100,
  nlink: 1,
  rdev: 0,
  atime: before1970,
  mtime,
  ctime,
  btime: mtime,
  target: "../\xff",
};
export const TIMES = { mtime, ctime, nlink: 3, seq: seq(41) };
export const DENTRY = { ino: FILE, type: 0o100000 };
export const SMALL = { sizeBytes: 2_097_153, mtime, version: seq(42), chunks: [HASH, null, HASH] };
export const LARGE = { sizeBytes: 3 * 2 ** 40, mtime, version: seq(43), chunks: undefined };
export const EXTENT = [null, HASH];
export const CHUNK = { pack: 9, offset: 1_000_000, storedLength: 400_000, rawLength: 1_048_576, codec: 1 as const };
export const PACK_RECORD = { id: PACK, sizeBytes: 67_108_864 };

/** A record of each kind under its key. */
export const RECORDS: Record<string, KeyValue> = {
  inode: [inodeKey(LINK), encodeInode(INODE)],
  directoryTimes: [directoryTimesKey(DIRECTORY), encodeDirectoryTimes(TIMES)],
  dentry: [dentryKey(DIRECTORY, NAME), encodeDentry(DENTRY)],
  xattr: [xattrKey(FILE, "user.x" as Name), Buffer.from("value")],
  smallContent: [contentKey(FILE), encodeContent(SMALL)],
  largeContent: [contentKey((FILE + 1) as Ino), encodeContent(LARGE)],
  extent: [extentKey((FILE + 1) as Ino, 2), encodeExtent(EXTENT)],
  chunk: [chunkKey(HASH), encodeChunkRecord(CHUNK)],
  pack: [packKey(9), encodePackRecord(PACK_RECORD)],
};

const ENTRIES: readonly LogEntry[] = [
  { op: "put", key: dentryKey(DIRECTORY, "a" as Name), value: encodeDentry(DENTRY) },
  { op: "delete", key: dentryKey(DIRECTORY, "b" as Name) },
  { op: "touch", ino: DIRECTORY, mtime, ctime, nlinkDelta: -1, seq: seq(52) },
];

/** Too small to be compressed. */
export const PLAIN_SEGMENT: SegmentPart = {
  epoch: 2 as Epoch,
  seq: 17 as SegmentSeq,
  part: 0,
  parts: 1,
  shipped: [
    { first: seq(44), last: seq(50) },
    { first: seq(52), last: seq(52) },
  ],
  entries: ENTRIES,
};

/** Compressed, and the second part of two. */
export const COMPRESSED_SEGMENT: SegmentPart = {
  ...PLAIN_SEGMENT,
  part: 1,
  parts: 2,
  entries: coalesce(Object.values(RECORDS).map(([key, value]) => ({ op: "put", key, value }))),
};

export const CHECKPOINT: CheckpointHeader = { epoch: 2 as Epoch, segmentSeq: 17 as SegmentSeq, opSeq: seq(52) };
export const CHECKPOINT_RECORDS: readonly KeyValue[] = Object.values(RECORDS).sort(([a], [b]) => Buffer.compare(a, b));

/** One chunk that is stored plain, one that is compressed. */
export const CHUNKS = [Buffer.from("hello\n"), Buffer.from("podfs ".repeat(100))] as const;

export const DESCRIPTOR: Descriptor = {
  formatVersion: 1,
  needsPodfs: "0.1.0",
  uuid: "0198c0de-1234-7abc-8def-00000000cafe",
  createdAt: "2026-01-02T03:04:05.678Z",
  chunkSizeBytes: 1_048_576,
  compression: "zstd",
  features: { required: [], optional: ["example"] },
};

export const LEASE: Lease = {
  epoch: 2 as Epoch,
  holder: { id: "0198c0df-0000-7000-8000-000000000001", host: "pod-é", pid: 4242, mountpoint: "/workspace" },
  renewedAtMs: 1_790_000_000_000,
  expiresAtMs: 1_790_000_060_000,
  released: false,
  beginsAt: [
    { epoch: 1 as Epoch, seq: 1 as SegmentSeq },
    { epoch: 2 as Epoch, seq: 12 as SegmentSeq },
  ],
  checkpointSeq: 10 as SegmentSeq,
};
