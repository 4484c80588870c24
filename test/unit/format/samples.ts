import type { ChunkHash, Epoch, Ino, Name, OpSeq, PackId, SegmentSeq } from "../../../src/base/index.js";
import type {
  ChunkRecord,
  ContentRecord,
  DirectoryTimes,
  InodeRecord,
  LogEntry,
  SegmentPart,
} from "../../../src/format/index.js";

/** Values that several tests use, with every field different and some at their limits. */
export const ino = (number: number): Ino => number as Ino;
export const seq = (number: number): OpSeq => number as OpSeq;
export const epoch = (number: number): Epoch => number as Epoch;
export const segmentSeq = (number: number): SegmentSeq => number as SegmentSeq;
export const name = (text: string): Name => text as Name;
export const chunkHash = (digits: string): ChunkHash => digits.repeat(64 / digits.length) as ChunkHash;
export const packId = (digits: string): PackId => digits.repeat(64 / digits.length) as PackId;

export const INODE: InodeRecord = {
  mode: 0o120777,
  uid: 1000,
  gid: 0xffff_fffe,
  nlink: 3,
  rdev: 0x0801,
  atime: { sec: 1_790_000_000, nsec: 999_999_999 },
  mtime: { sec: -1, nsec: 1 },
  ctime: { sec: 2 ** 40, nsec: 0 },
  btime: { sec: -(2 ** 40), nsec: 500_000_000 },
  target: "../else/caf\xc3\xa9\xff",
};

export const TIMES: DirectoryTimes = {
  mtime: { sec: 1_790_000_001, nsec: 2 },
  ctime: { sec: 1_790_000_003, nsec: 4 },
  nlink: 5,
  seq: seq(600),
};

export const CONTENT: ContentRecord = {
  sizeBytes: 2_500_000,
  mtime: { sec: 1_790_000_005, nsec: 6 },
  version: seq(2 ** 53 - 1),
  chunks: [chunkHash("1f"), null, chunkHash("ab")],
};

export const CHUNK: ChunkRecord = {
  pack: 7,
  offset: 4_000_000_000,
  storedLength: 12_345,
  rawLength: 1 << 20,
  codec: 1,
};

/** Bytes that no compressor can shrink, the same in every run. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = (state >>> 16) & 0xff;
  }
  return bytes;
}

/** A segment with each kind of entry, small enough to damage it in every possible way. */
export function segmentPart(entries: readonly LogEntry[]): SegmentPart {
  return {
    epoch: epoch(3),
    seq: segmentSeq(41),
    part: 0,
    parts: 1,
    shipped: [
      { first: seq(100), last: seq(120) },
      { first: seq(125), last: seq(125) },
    ],
    entries,
  };
}

/** Calls `check` with each way of cutting `bytes` short and of flipping one bit of it. */
export function damage(bytes: Buffer, check: (damaged: Buffer, how: string) => void): void {
  for (let length = 0; length < bytes.length; length++) {
    check(Buffer.from(bytes.subarray(0, length)), `cut to ${length} of ${bytes.length} bytes`);
  }
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    check(damaged, `bit ${bit & 7} of byte ${bit >> 3} flipped`);
  }
}
