import { assert, ByteReader, ByteWriter, type ChunkHash, type PackId } from "../base/index.js";
import { decodeChunk, type EncodedChunk } from "./chunk.js";
import { asBuffer, HASH_LENGTH_BYTES, readHash } from "./fields.js";
import { decoding, FormatError } from "./format-error.js";
import {
  CHECKSUM_LENGTH_BYTES,
  expectChecksum,
  expectMagic,
  expectVersion,
  FORMAT_VERSION,
  MAGIC_LENGTH_BYTES,
  Magic,
  truncated,
} from "./framing.js";
import { hashOf } from "./hash.js";
import { codecOf } from "./record-codecs.js";
import type { Codec } from "./records.js";

/** One chunk in a pack. */
export interface PackEntry {
  readonly hash: ChunkHash;
  /** From the start of the pack. */
  readonly offset: number;
  readonly storedLength: number;
  readonly rawLength: number;
  readonly codec: Codec;
}

/** Some providers refuse larger objects without multipart upload; podfs never makes a pack of this size. */
export const PACK_SIZE_BYTES_MAX = 500_000_000;
/** Bytes at a pack's end that say how long its footer is: the least to fetch of a pack with nothing else at hand. */
export const PACK_TRAILER_LENGTH_BYTES = 16 + CHECKSUM_LENGTH_BYTES + MAGIC_LENGTH_BYTES;

const ENTRY_LENGTH_BYTES = HASH_LENGTH_BYTES + 13;

/**
 * Places chunks in a pack, one behind the other, each once. Pure: the caller writes the bytes at the offsets it is
 * given, then the {@link footer}.
 */
export class PackLayout {
  readonly #entries = new Map<ChunkHash, PackEntry>();
  #length = 0;

  /** Bytes of chunks so far. */
  get dataLength(): number {
    return this.#length;
  }

  /** Bytes of the pack if it ended here. */
  get sizeBytes(): number {
    return this.#length + packFooterLength(this.#entries.size);
  }

  get entries(): readonly PackEntry[] {
    return [...this.#entries.values()];
  }

  /** Where a chunk already is, if it is. */
  find(hash: ChunkHash): PackEntry | undefined {
    return this.#entries.get(hash);
  }

  /** Gives a chunk that is not in the pack yet its place: the caller writes `chunk.stored` there. */
  add(chunk: EncodedChunk): PackEntry {
    assert(!this.#entries.has(chunk.hash), `chunk ${chunk.hash} is already in the pack`);
    const { hash, codec, rawLength, stored } = chunk;
    const entry: PackEntry = { hash, offset: this.#length, storedLength: stored.length, rawLength, codec };
    this.#entries.set(hash, entry);
    this.#length += stored.length;
    assert(this.sizeBytes < PACK_SIZE_BYTES_MAX, `a pack of ${this.sizeBytes} bytes is too large`);
    return entry;
  }

  /** What follows the last chunk. */
  footer(): Buffer {
    return encodePackFooter(this.entries, this.#length);
  }
}

/** Footer and trailer of a pack of `count` chunks. */
export function packFooterLength(count: number): number {
  return count * ENTRY_LENGTH_BYTES + PACK_TRAILER_LENGTH_BYTES;
}

/** Bytes of footer and trailer: FORMATS, section "Pack". */
export function encodePackFooter(entries: readonly PackEntry[], dataLength: number): Buffer {
  const writer = new ByteWriter(packFooterLength(entries.length));
  for (const { hash, offset, storedLength, rawLength, codec } of entries) {
    writer.hex(hash, HASH_LENGTH_BYTES).u32(offset).u32(storedLength).u32(rawLength).u8(codec);
  }
  writer.u16(FORMAT_VERSION).u16(0).u32(entries.length).u32(dataLength);
  writer.u32(packFooterLength(entries.length));
  writer.bytes(hashOf(writer.finish()));
  return asBuffer(writer.latin1(Magic.pack).finish());
}

/**
 * Bytes at the end of a pack that {@link decodePackFooter} needs, read from its last {@link PACK_TRAILER_LENGTH_BYTES}.
 * Not verified yet: decoding the footer does that.
 *
 * @throws FormatError truncated, bad-magic, malformed.
 */
export function packFooterLengthOf(tail: Uint8Array, packSizeBytes: number): number {
  if (tail.length < PACK_TRAILER_LENGTH_BYTES) throw truncated("pack", tail.length);
  const trailer = tail.length - PACK_TRAILER_LENGTH_BYTES;
  expectMagic("pack", tail, tail.length - MAGIC_LENGTH_BYTES, Magic.pack);
  const length = asBuffer(tail).readUInt32LE(trailer + 12);
  if (length >= PACK_TRAILER_LENGTH_BYTES && length <= packSizeBytes) return length;
  throw new FormatError("malformed", `pack of ${packSizeBytes} bytes with a footer of ${length}`);
}

/**
 * What a pack holds, from its last bytes (at least its footer).
 *
 * @throws FormatError of every kind; truncated when `tail` is shorter than {@link packFooterLengthOf} says.
 */
export function decodePackFooter(tail: Uint8Array, packSizeBytes: number): PackEntry[] {
  const length = packFooterLengthOf(tail, packSizeBytes);
  if (length > tail.length) throw truncated(`pack footer of ${length} bytes`, tail.length);
  const footer = tail.subarray(tail.length - length);
  const end = footer.length - MAGIC_LENGTH_BYTES - CHECKSUM_LENGTH_BYTES;
  expectChecksum("pack footer", footer, 0, end);
  return decoding("pack footer", () => {
    const trailer = new ByteReader(footer, footer.length - PACK_TRAILER_LENGTH_BYTES);
    expectVersion("pack", trailer.u16());
    trailer.skip(2);
    const count = trailer.u32();
    const dataLength = trailer.u32();
    if (packFooterLength(count) !== length || dataLength + length !== packSizeBytes) {
      throw new FormatError("malformed", `pack of ${packSizeBytes} bytes with ${count} chunks in ${dataLength} bytes`);
    }
    return decodePackEntries(new ByteReader(footer), count, dataLength);
  });
}

/**
 * Checks a whole pack: its name, its footer, every chunk.
 *
 * @param id the name it has; left out for a pack that has none yet
 * @throws FormatError of every kind.
 */
export function verifyPack(bytes: Uint8Array, id?: PackId): PackEntry[] {
  const entries = decodePackFooter(bytes, bytes.length);
  if (id !== undefined && packIdOf(bytes) !== id) {
    throw new FormatError("bad-checksum", `pack ${id} is damaged: it is the pack ${packIdOf(bytes)}`);
  }
  for (const entry of entries) decodeChunk(bytes.subarray(entry.offset, entry.offset + entry.storedLength), entry);
  return entries;
}

/**
 * The name of the pack with these bytes: the hash in its footer. It stands for the plain bytes of every chunk, whose
 * hashes are in the footer, without another pass over them (docs/decisions/0009).
 */
export function packIdOf(bytes: Uint8Array): PackId {
  return readHash(asBuffer(bytes), bytes.length - MAGIC_LENGTH_BYTES - CHECKSUM_LENGTH_BYTES) as PackId;
}

function decodePackEntries(reader: ByteReader, count: number, dataLength: number): PackEntry[] {
  const entries: PackEntry[] = [];
  let end = 0;
  for (let index = 0; index < count; index++) {
    const entry: PackEntry = {
      hash: reader.hex(HASH_LENGTH_BYTES) as ChunkHash,
      offset: reader.u32(),
      storedLength: reader.u32(),
      rawLength: reader.u32(),
      codec: codecOf(reader.u8()),
    };
    if (entry.offset !== end)
      throw new FormatError("malformed", `chunk at ${entry.offset} of a pack used up to ${end}`);
    end += entry.storedLength;
    entries.push(entry);
  }
  if (end !== dataLength) throw new FormatError("malformed", `pack with ${end} of ${dataLength} bytes in chunks`);
  return entries;
}
