declare const brand: unique symbol;
/** A plain value that the compiler keeps apart from others of the same type. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Inode number. 1 is the root. A safe integer: numbers are handed out from 2 upwards, one per creation. */
export type Ino = Brand<number, "Ino">;
/** Open file or directory handle, unique while the mount lives. */
export type HandleId = Brand<number, "HandleId">;
/** Number that names one content file in the cache directory; never reused. */
export type ContentId = Brand<number, "ContentId">;
/** Position of a metadata operation in the volume's history; grows by one per operation. */
export type OpSeq = Brand<number, "OpSeq">;
/** Position of a segment in the volume's metadata log. */
export type SegmentSeq = Brand<number, "SegmentSeq">;
/** Writer generation: grows by one with every lease that is taken. */
export type Epoch = Brand<number, "Epoch">;
/** BLAKE3-256 of a chunk's plain bytes, 64 lowercase hex digits. */
export type ChunkHash = Brand<string, "ChunkHash">;
/** BLAKE3-256 of a pack's bytes, 64 lowercase hex digits; its object's name. */
export type PackId = Brand<string, "PackId">;
/**
 * One path component. File names are bytes, not text: each char is one byte (Node's "latin1"), so that
 * any name survives, lengths are byte lengths, and comparing strings compares bytes.
 */
export type Name = Brand<string, "Name">;

export const ROOT_INO = 1 as Ino;
