import type { ContentId, Ino, OpSeq } from "../base/index.js";
import { asBuffer } from "../format/index.js";
import type { LocalFile } from "./metadata.js";

/**
 * Keys and bytes of the records of one cache directory, which never travel to the volume: table in
 * docs/decisions/0001. Keys start with a small letter, so they sort behind all shared ones.
 */
const Tag = {
  local: 0x66, // f
  garbage: 0x67, // g
  fact: 0x6c, // l
  operation: 0x6f, // o
  dirty: 0x77, // w
} as const;

const NUMBER_KEY_LENGTH = 9;
const TWO_POW_32 = 0x1_0000_0000;

/** Local image of a file. */
export function localKey(ino: Ino): Buffer {
  return numberKey(Tag.local, ino);
}

/** Entry of the index of dirty files; its value is empty. */
export function dirtyKey(ino: Ino): Buffer {
  return numberKey(Tag.dirty, ino);
}

/** Operation that was not shipped. */
export function operationKey(seq: OpSeq): Buffer {
  return numberKey(Tag.operation, seq);
}

/** Content file that waits for deletion; its value is empty. */
export function garbageKey(id: ContentId): Buffer {
  return numberKey(Tag.garbage, id);
}

/** Small fact about this cache directory. */
export function factKey(name: string): Buffer {
  return Buffer.from(`${String.fromCharCode(Tag.fact)}${name}`, "utf8");
}

/** The number in a key of {@link localKey}, {@link dirtyKey}, {@link operationKey} or {@link garbageKey}. */
export function numberOfKey(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return view.getUint32(1) * TWO_POW_32 + view.getUint32(5);
}

/** Half-open ranges of the local key space, for scans. */
export const LocalRange = {
  local: rangeOf(Tag.local),
  dirty: rangeOf(Tag.dirty),
  operations: rangeOf(Tag.operation),
  garbage: rangeOf(Tag.garbage),
} as const;

/** All shared keys: those that start with a capital letter. */
export const SHARED_RANGE = { start: Buffer.of(0x41), end: Buffer.of(0x5b) } as const;

const FLAG_DIRTY = 1;
const FLAG_COMPLETE = 2;
const LOCAL_LENGTH_BYTES = 77;

/**
 * Numbers are doubles: exact up to 2^53, and the machine's own, which is enough for a file that never leaves it.
 */
export function encodeLocalFile(file: LocalFile): Buffer {
  const bytes = Buffer.allocUnsafe(LOCAL_LENGTH_BYTES);
  bytes[0] = (file.dirty ? FLAG_DIRTY : 0) | (file.complete ? FLAG_COMPLETE : 0);
  bytes.writeDoubleLE(file.contentId, 1);
  bytes.writeDoubleLE(file.version, 9);
  bytes.writeDoubleLE(file.sizeBytes, 17);
  bytes.writeDoubleLE(file.mtime.sec, 25);
  bytes.writeUInt32LE(file.mtime.nsec, 33);
  bytes.writeDoubleLE(file.generation, 37);
  bytes.writeDoubleLE(file.dirtySinceMs, 45);
  bytes.writeDoubleLE(file.diskBytes, 53);
  bytes.writeDoubleLE(file.lastUsedMs, 61);
  bytes.writeDoubleLE(file.trustEpoch, 69);
  return bytes;
}

export function decodeLocalFile(record: Uint8Array): LocalFile {
  const bytes = asBuffer(record);
  const flags = bytes.readUInt8(0);
  return {
    contentId: bytes.readDoubleLE(1) as ContentId,
    dirty: (flags & FLAG_DIRTY) !== 0,
    complete: (flags & FLAG_COMPLETE) !== 0,
    version: bytes.readDoubleLE(9) as OpSeq,
    sizeBytes: bytes.readDoubleLE(17),
    mtime: { sec: bytes.readDoubleLE(25), nsec: bytes.readUInt32LE(33) },
    generation: bytes.readDoubleLE(37),
    dirtySinceMs: bytes.readDoubleLE(45),
    diskBytes: bytes.readDoubleLE(53),
    lastUsedMs: bytes.readDoubleLE(61),
    trustEpoch: bytes.readDoubleLE(69),
  };
}

/** Whether an encoded record is of a dirty file, without decoding the rest. */
export function isDirtyRecord(record: Uint8Array): boolean {
  return ((record[0] ?? 0) & FLAG_DIRTY) !== 0;
}

function numberKey(tag: number, number: number): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_KEY_LENGTH);
  key[0] = tag;
  key.writeUInt32BE(Math.floor(number / TWO_POW_32), 1);
  key.writeUInt32BE(number >>> 0, 5);
  return key;
}

function rangeOf(tag: number): { readonly start: Buffer; readonly end: Buffer } {
  return { start: Buffer.of(tag), end: Buffer.of(tag + 1) };
}
