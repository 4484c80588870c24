import type { ChunkHash, Ino, OpSeq, PackId } from "../base/index.js";
import {
  asBuffer,
  HASH_LENGTH_BYTES,
  readHash,
  readTime,
  readU64,
  TIME_LENGTH_BYTES,
  writeHash,
  writeTime,
  writeU64,
} from "./fields.js";
import { expectLength, FormatError } from "./format-error.js";
import type { ChunkRecord, ContentRecord, DentryRecord, DirectoryTimes, InodeRecord, PackRecord } from "./records.js";
import { Codec, EXTENT_GROUP_CHUNKS, INLINE_CHUNKS_MAX } from "./records.js";

/**
 * Bytes of each shared record: FORMATS, section "Records". Records carry no version of their own, the volume's
 * format version covers them; so a byte more or less than expected is damage. Decoded values share no memory with
 * their input, which may be a store's own.
 */

const INODE_LENGTH_BYTES_MIN = 20 + 4 * TIME_LENGTH_BYTES;
const DIRECTORY_TIMES_LENGTH_BYTES = 2 * TIME_LENGTH_BYTES + 12;
const DENTRY_LENGTH_BYTES = 9;
const CONTENT_LENGTH_BYTES_MIN = 17 + TIME_LENGTH_BYTES;
const CHUNK_LENGTH_BYTES = 21;
const PACK_LENGTH_BYTES = HASH_LENGTH_BYTES + 8;

const TYPE_SHIFT = 12; // S_IFMT is the top four of 16 mode bits
const CHUNKS_IN_EXTENTS = 0;
const CHUNKS_INLINE = 1;
const HOLE = "0".repeat(HASH_LENGTH_BYTES * 2);

export function encodeInode(inode: InodeRecord): Buffer {
  const { target } = inode;
  const bytes = Buffer.allocUnsafe(INODE_LENGTH_BYTES_MIN + target.length);
  bytes.writeUInt32LE(inode.mode, 0);
  bytes.writeUInt32LE(inode.uid, 4);
  bytes.writeUInt32LE(inode.gid, 8);
  bytes.writeUInt32LE(inode.nlink, 12);
  bytes.writeUInt32LE(inode.rdev, 16);
  writeTime(bytes, 20, inode.atime);
  writeTime(bytes, 32, inode.mtime);
  writeTime(bytes, 44, inode.ctime);
  writeTime(bytes, 56, inode.btime);
  if (target !== "") bytes.write(target, INODE_LENGTH_BYTES_MIN, "latin1");
  return bytes;
}

/** @throws FormatError truncated, malformed. */
export function decodeInode(record: Uint8Array): InodeRecord {
  const bytes = asBuffer(record);
  if (bytes.length < INODE_LENGTH_BYTES_MIN) expectLength("inode record", bytes.length, INODE_LENGTH_BYTES_MIN);
  return {
    mode: bytes.readUInt32LE(0),
    uid: bytes.readUInt32LE(4),
    gid: bytes.readUInt32LE(8),
    nlink: bytes.readUInt32LE(12),
    rdev: bytes.readUInt32LE(16),
    atime: readTime(bytes, 20),
    mtime: readTime(bytes, 32),
    ctime: readTime(bytes, 44),
    btime: readTime(bytes, 56),
    target: bytes.length === INODE_LENGTH_BYTES_MIN ? "" : bytes.toString("latin1", INODE_LENGTH_BYTES_MIN),
  };
}

export function encodeDirectoryTimes(times: DirectoryTimes): Buffer {
  const bytes = Buffer.allocUnsafe(DIRECTORY_TIMES_LENGTH_BYTES);
  writeTime(bytes, 0, times.mtime);
  writeTime(bytes, 12, times.ctime);
  bytes.writeUInt32LE(times.nlink, 24);
  writeU64(bytes, 28, times.seq);
  return bytes;
}

/** @throws FormatError truncated, malformed. */
export function decodeDirectoryTimes(record: Uint8Array): DirectoryTimes {
  const bytes = asBuffer(record);
  expectLength("directory times record", bytes.length, DIRECTORY_TIMES_LENGTH_BYTES);
  return {
    mtime: readTime(bytes, 0),
    ctime: readTime(bytes, 12),
    nlink: bytes.readUInt32LE(24),
    seq: readU64(bytes, 28) as OpSeq,
  };
}

export function encodeDentry(dentry: DentryRecord): Buffer {
  const bytes = Buffer.allocUnsafe(DENTRY_LENGTH_BYTES);
  writeU64(bytes, 0, dentry.ino);
  bytes[8] = dentry.type >>> TYPE_SHIFT;
  return bytes;
}

/** @throws FormatError truncated, malformed. */
export function decodeDentry(record: Uint8Array): DentryRecord {
  const bytes = asBuffer(record);
  expectLength("dentry record", bytes.length, DENTRY_LENGTH_BYTES);
  return { ino: readU64(bytes, 0) as Ino, type: bytes.readUInt8(8) << TYPE_SHIFT };
}

/** @throws FormatError malformed when there are more inline chunks than a content record holds. */
export function encodeContent(content: ContentRecord): Buffer {
  const { chunks } = content;
  const count = chunks?.length ?? 0;
  if (count > INLINE_CHUNKS_MAX) throw new FormatError("malformed", `${count} chunks do not fit a content record`);
  const bytes = Buffer.allocUnsafe(CONTENT_LENGTH_BYTES_MIN + count * HASH_LENGTH_BYTES);
  writeU64(bytes, 0, content.sizeBytes);
  writeTime(bytes, 8, content.mtime);
  writeU64(bytes, 20, content.version);
  bytes[28] = chunks === undefined ? CHUNKS_IN_EXTENTS : CHUNKS_INLINE;
  if (chunks !== undefined) writeChunks(bytes, CONTENT_LENGTH_BYTES_MIN, chunks);
  return bytes;
}

/** @throws FormatError truncated, malformed. */
export function decodeContent(record: Uint8Array): ContentRecord {
  const bytes = asBuffer(record);
  const chunkBytes = bytes.length - CONTENT_LENGTH_BYTES_MIN;
  if (chunkBytes < 0) expectLength("content record", bytes.length, CONTENT_LENGTH_BYTES_MIN);
  const where = bytes[28];
  if (where !== CHUNKS_INLINE && (where !== CHUNKS_IN_EXTENTS || chunkBytes > 0)) {
    throw new FormatError("malformed", `content record with chunk list ${where} and ${chunkBytes} bytes of chunks`);
  }
  return {
    sizeBytes: readU64(bytes, 0),
    mtime: readTime(bytes, 8),
    version: readU64(bytes, 20) as OpSeq,
    chunks:
      where === CHUNKS_INLINE
        ? readChunks("content record", bytes, CONTENT_LENGTH_BYTES_MIN, INLINE_CHUNKS_MAX)
        : undefined,
  };
}

/** The size alone: for passes over millions of records. @throws FormatError truncated. */
export function contentSizeBytes(record: Uint8Array): number {
  const bytes = asBuffer(record);
  if (bytes.length < CONTENT_LENGTH_BYTES_MIN) expectLength("content record", bytes.length, CONTENT_LENGTH_BYTES_MIN);
  return readU64(bytes, 0);
}

/** @throws FormatError malformed when there are more chunks than a group has. */
export function encodeExtent(chunks: readonly (ChunkHash | null)[]): Buffer {
  if (chunks.length > EXTENT_GROUP_CHUNKS) {
    throw new FormatError("malformed", `${chunks.length} chunks do not fit an extent record`);
  }
  const bytes = Buffer.allocUnsafe(chunks.length * HASH_LENGTH_BYTES);
  writeChunks(bytes, 0, chunks);
  return bytes;
}

/** @throws FormatError truncated, malformed. */
export function decodeExtent(record: Uint8Array): (ChunkHash | null)[] {
  return readChunks("extent record", asBuffer(record), 0, EXTENT_GROUP_CHUNKS);
}

export function encodeChunkRecord(chunk: ChunkRecord): Buffer {
  const bytes = Buffer.allocUnsafe(CHUNK_LENGTH_BYTES);
  writeU64(bytes, 0, chunk.pack);
  bytes.writeUInt32LE(chunk.offset, 8);
  bytes.writeUInt32LE(chunk.storedLength, 12);
  bytes.writeUInt32LE(chunk.rawLength, 16);
  bytes[20] = chunk.codec;
  return bytes;
}

/** @throws FormatError truncated, malformed, too-new (a codec this podfs does not know). */
export function decodeChunkRecord(record: Uint8Array): ChunkRecord {
  const bytes = asBuffer(record);
  expectLength("chunk record", bytes.length, CHUNK_LENGTH_BYTES);
  return {
    pack: readU64(bytes, 0),
    offset: bytes.readUInt32LE(8),
    storedLength: bytes.readUInt32LE(12),
    rawLength: bytes.readUInt32LE(16),
    codec: codecOf(bytes.readUInt8(20)),
  };
}

export function encodePackRecord(pack: PackRecord): Buffer {
  const bytes = Buffer.allocUnsafe(PACK_LENGTH_BYTES);
  writeHash(bytes, 0, pack.id);
  writeU64(bytes, HASH_LENGTH_BYTES, pack.sizeBytes);
  return bytes;
}

/** @throws FormatError truncated, malformed. */
export function decodePackRecord(record: Uint8Array): PackRecord {
  const bytes = asBuffer(record);
  expectLength("pack record", bytes.length, PACK_LENGTH_BYTES);
  return { id: readHash(bytes, 0) as PackId, sizeBytes: readU64(bytes, HASH_LENGTH_BYTES) };
}

/** @throws FormatError too-new for a number this podfs does not know. */
export function codecOf(number: number): Codec {
  if (number === Codec.plain || number === Codec.zstd) return number;
  throw new FormatError("too-new", `codec ${number} takes a newer podfs`);
}

/** A hole is 32 zero bytes: chunk n stays at n × 32, and no BLAKE3 hash anybody will find looks like it. */
function writeChunks(bytes: Buffer, offset: number, chunks: readonly (ChunkHash | null)[]): void {
  let at = offset;
  for (const hash of chunks) {
    if (hash === null) bytes.fill(0, at, at + HASH_LENGTH_BYTES);
    else writeHash(bytes, at, hash);
    at += HASH_LENGTH_BYTES;
  }
}

function readChunks(what: string, bytes: Buffer, offset: number, countMax: number): (ChunkHash | null)[] {
  const length = bytes.length - offset;
  if (length % HASH_LENGTH_BYTES !== 0 || length > countMax * HASH_LENGTH_BYTES) {
    throw new FormatError("malformed", `${what} with ${length} bytes of chunk hashes`);
  }
  const chunks: (ChunkHash | null)[] = [];
  for (let at = offset; at < bytes.length; at += HASH_LENGTH_BYTES) {
    const hash = readHash(bytes, at);
    chunks.push(hash === HOLE ? null : (hash as ChunkHash));
  }
  return chunks;
}
