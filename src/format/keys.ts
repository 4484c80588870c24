import type { ChunkHash, Ino, Name } from "../base/index.js";
import { asBuffer, HASH_LENGTH_BYTES, readHash, readU64BigEndian, writeHash, writeU64BigEndian } from "./fields.js";
import { expectLength, FormatError } from "./format-error.js";
import type { PackNumber } from "./records.js";

/**
 * Keys of the shared key space: one capital letter, then big-endian numbers, so that byte order groups records
 * of a kind and sorts them by number. Keys that start otherwise belong to one cache directory and are never shipped.
 * FORMATS, section "Keys": letters are on disk and never change their meaning.
 */
const Tag = {
  content: 0x43, // C
  dentry: 0x44, // D
  extent: 0x45, // E
  inode: 0x49, // I
  chunk: 0x4b, // K
  pack: 0x50, // P
  directoryTimes: 0x54, // T
  xattr: 0x58, // X
} as const;

const NUMBER_KEY_LENGTH = 9;
const EXTENT_KEY_LENGTH = 13;
const CHUNK_KEY_LENGTH = 1 + HASH_LENGTH_BYTES;

/** A key taken apart. */
export type SharedKey =
  | { readonly kind: "inode" | "directory-times" | "content"; readonly ino: Ino }
  | { readonly kind: "dentry"; readonly parent: Ino; readonly name: Name }
  | { readonly kind: "xattr"; readonly ino: Ino; readonly name: Name }
  | { readonly kind: "extent"; readonly ino: Ino; readonly group: number }
  | { readonly kind: "chunk"; readonly hash: ChunkHash }
  | { readonly kind: "pack"; readonly number: PackNumber };

/** Of an {@link InodeRecord}. */
export function inodeKey(ino: Ino): Buffer {
  return numberKey(Tag.inode, ino);
}

/** Of a directory's {@link DirectoryTimes}. */
export function directoryTimesKey(ino: Ino): Buffer {
  return numberKey(Tag.directoryTimes, ino);
}

/** Of a regular file's {@link ContentRecord}. */
export function contentKey(ino: Ino): Buffer {
  return numberKey(Tag.content, ino);
}

/** What every content key starts with. */
export function contentPrefix(): Buffer {
  return Buffer.of(Tag.content);
}

/** Of a {@link PackRecord}. */
export function packKey(number: PackNumber): Buffer {
  return numberKey(Tag.pack, number);
}

/** Of a {@link DentryRecord}. */
export function dentryKey(parent: Ino, name: Name): Buffer {
  return namedKey(Tag.dentry, parent, name);
}

/** What the keys of a directory's dentries start with; they are in byte order of their names. */
export function dentryPrefix(parent: Ino): Buffer {
  return numberKey(Tag.dentry, parent);
}

/** Of an extended attribute; its value is stored as it is. */
export function xattrKey(ino: Ino, name: Name): Buffer {
  return namedKey(Tag.xattr, ino, name);
}

/** What the keys of an inode's extended attributes start with. */
export function xattrPrefix(ino: Ino): Buffer {
  return numberKey(Tag.xattr, ino);
}

/** Of the chunk hashes `group × EXTENT_GROUP_CHUNKS` and up of a large file. */
export function extentKey(ino: Ino, group: number): Buffer {
  const key = Buffer.allocUnsafe(EXTENT_KEY_LENGTH);
  key[0] = Tag.extent;
  writeU64BigEndian(key, 1, ino);
  key.writeUInt32BE(group, NUMBER_KEY_LENGTH);
  return key;
}

/** What the keys of a file's extents start with. */
export function extentPrefix(ino: Ino): Buffer {
  return numberKey(Tag.extent, ino);
}

/** Of a {@link ChunkRecord}. */
export function chunkKey(hash: ChunkHash): Buffer {
  const key = Buffer.allocUnsafe(CHUNK_KEY_LENGTH);
  key[0] = Tag.chunk;
  writeHash(key, 1, hash);
  return key;
}

/** What every chunk key starts with. */
export function chunkPrefix(): Buffer {
  return Buffer.of(Tag.chunk);
}

/** What every pack key starts with. */
export function packPrefix(): Buffer {
  return Buffer.of(Tag.pack);
}

/**
 * The least key above all keys that start with `prefix`: the exclusive end of a range scan. Prefixes here start
 * with a capital letter, so there always is one.
 */
export function prefixEnd(prefix: Uint8Array): Buffer {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  const end = Buffer.from(prefix.subarray(0, length));
  const last = end[length - 1];
  if (last === undefined) throw new FormatError("malformed", "a prefix of 0xff bytes only has no end");
  end[length - 1] = last + 1;
  return end;
}

/** The name at the end of a dentry or xattr key, without taking the rest apart: for listings. */
export function nameOfKey(key: Uint8Array): Name {
  return asBuffer(key).toString("latin1", NUMBER_KEY_LENGTH) as Name;
}

/** True for keys that travel to the volume. */
export function isSharedKey(key: Uint8Array): boolean {
  const tag = key[0];
  return tag !== undefined && tag >= 0x41 && tag <= 0x5a;
}

/** The inode of whose attributes the record of this key is a part; undefined when it is of none. */
export function inodeOfAttributes(key: Uint8Array): Ino | undefined {
  const tag = key[0];
  if (tag !== Tag.inode && tag !== Tag.directoryTimes && tag !== Tag.content) return undefined;
  return readU64BigEndian(asBuffer(key), 1) as Ino;
}

/** @throws FormatError truncated, malformed: also for keys that belong to one cache directory. */
export function parseKey(bytes: Uint8Array): SharedKey {
  const key = asBuffer(bytes);
  switch (key[0]) {
    case Tag.inode:
      return { kind: "inode", ino: numberOf("inode key", key) as Ino };
    case Tag.directoryTimes:
      return { kind: "directory-times", ino: numberOf("directory times key", key) as Ino };
    case Tag.content:
      return { kind: "content", ino: numberOf("content key", key) as Ino };
    case Tag.pack:
      return { kind: "pack", number: numberOf("pack key", key) };
    case Tag.dentry:
      return { kind: "dentry", parent: ownerOf("dentry key", key), name: nameOfKey(key) };
    case Tag.xattr:
      return { kind: "xattr", ino: ownerOf("xattr key", key), name: nameOfKey(key) };
    case Tag.extent:
      expectLength("extent key", key.length, EXTENT_KEY_LENGTH);
      return { kind: "extent", ino: readU64BigEndian(key, 1) as Ino, group: key.readUInt32BE(NUMBER_KEY_LENGTH) };
    case Tag.chunk:
      expectLength("chunk key", key.length, CHUNK_KEY_LENGTH);
      return { kind: "chunk", hash: readHash(key, 1) as ChunkHash };
    default:
      throw new FormatError("malformed", `${key.toString("hex")} is not a key of the shared key space`);
  }
}

function numberKey(tag: number, number: number): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_KEY_LENGTH);
  key[0] = tag;
  writeU64BigEndian(key, 1, number);
  return key;
}

function namedKey(tag: number, ino: Ino, name: Name): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_KEY_LENGTH + name.length);
  key[0] = tag;
  writeU64BigEndian(key, 1, ino);
  key.write(name, NUMBER_KEY_LENGTH, "latin1");
  return key;
}

function numberOf(what: string, key: Buffer): number {
  expectLength(what, key.length, NUMBER_KEY_LENGTH);
  return readU64BigEndian(key, 1);
}

/** Names have at least one byte. */
function ownerOf(what: string, key: Buffer): Ino {
  if (key.length <= NUMBER_KEY_LENGTH) throw new FormatError("truncated", `${what} has only ${key.length} bytes`);
  return readU64BigEndian(key, 1) as Ino;
}
