import {
  BLOCK_HEADER_LENGTH_BYTES,
  BLOCK_LENGTH_BYTES_MAX,
  KEY_LENGTH_BYTES_MAX,
  VARINT_LENGTH_MAX,
} from "./checkpoint-block.js";
import { decompress } from "./compressor.js";
import { FormatError } from "./format-error.js";
import { CHECKSUM_LENGTH_BYTES, expectChecksum } from "./framing.js";

/** Longer values than this are rare, and are views of their block. */
const SMALL_VALUE_LENGTH_BYTES = 1024;
const NOTHING = Buffer.alloc(0);

/**
 * Decodes the records of a checkpoint's blocks, one after another: {@link begin} with each block, then {@link next} for
 * each record.
 *
 * {@link key} and {@link value} are lent until the next record. Both are copied into memory that all records share, of
 * which there is one view for each length: a million files are four million records, and making two views for each
 * of them takes as long as all else that is done with them when they are loaded.
 */
export class BlockReader {
  // Invariant: #raw[#at …) holds #left records; the one before, perhaps of the block before, had the key in #keyBytes[0 … #keyLength).
  #raw: Buffer = NOTHING;
  #at = 0;
  #left = 0;
  #keyLength = 0;
  #isFirst = true;
  readonly #keyBytes = Buffer.alloc(KEY_LENGTH_BYTES_MAX);
  readonly #keys = viewsOf(this.#keyBytes);
  readonly #valueBytes = Buffer.alloc(SMALL_VALUE_LENGTH_BYTES);
  readonly #values = viewsOf(this.#valueBytes);
  #value: Buffer = NOTHING;

  get key(): Buffer {
    return this.#keys(this.#keyLength);
  }

  get value(): Buffer {
    return this.#value;
  }

  /** How many records of the block are left. */
  get left(): number {
    return this.#left;
  }

  /** @param block whole, as stored. @throws FormatError bad-checksum, malformed. */
  begin(block: Buffer): void {
    const end = block.length - CHECKSUM_LENGTH_BYTES;
    expectChecksum("checkpoint block", block, 0, end);
    const rawLength = block.readUInt32LE(4);
    if (rawLength > BLOCK_LENGTH_BYTES_MAX)
      throw new FormatError("malformed", `checkpoint block of ${rawLength} bytes`);
    this.#raw = decompress(block.subarray(BLOCK_HEADER_LENGTH_BYTES, end), rawLength);
    this.#at = 0;
    this.#left = block.readUInt32LE(8);
    this.#isFirst = true;
    if (this.#left === 0) throw new FormatError("malformed", "checkpoint block without records");
  }

  /** Goes to the next record; false behind the block's last. @throws FormatError malformed. */
  next(): boolean {
    if (this.#left === 0) return false;
    const shared = this.#varint();
    const suffixLength = this.#varint();
    const valueLength = this.#varint();
    const valueAt = this.#at + suffixLength;
    const end = valueAt + valueLength;
    if (end > this.#raw.length) throw new FormatError("malformed", "checkpoint block that ends within a record");
    this.#readKey(shared, suffixLength);
    this.#value = this.#valueAt(valueAt, valueLength);
    this.#at = end;
    this.#left--;
    if (this.#left === 0 && end < this.#raw.length) {
      throw new FormatError("malformed", "checkpoint block with more bytes than its records have");
    }
    return true;
  }

  #readKey(shared: number, suffixLength: number): void {
    const length = shared + suffixLength;
    if (length > KEY_LENGTH_BYTES_MAX) throw new FormatError("malformed", `checkpoint with a key of ${length} bytes`);
    if (!this.#isBehindLast(shared, suffixLength)) {
      throw new FormatError("malformed", "checkpoint whose records are not sorted");
    }
    const bytes = this.#keyBytes;
    const raw = this.#raw;
    let from = this.#at;
    for (let at = shared; at < length; at++) bytes[at] = raw[from++] ?? 0;
    this.#keyLength = length;
    this.#isFirst = false;
  }

  #isBehindLast(shared: number, suffixLength: number): boolean {
    if (this.#isFirst) {
      const suffix = this.#raw.subarray(this.#at, this.#at + suffixLength);
      return shared === 0 && Buffer.compare(suffix, this.key) > 0;
    }
    // Suffixes are as short as can be, so their first byte alone decides the order.
    if (shared > this.#keyLength || suffixLength === 0) return false;
    return shared === this.#keyLength || (this.#raw[this.#at] ?? 0) > (this.#keyBytes[shared] ?? 0);
  }

  #valueAt(offset: number, length: number): Buffer {
    if (length > SMALL_VALUE_LENGTH_BYTES) return this.#raw.subarray(offset, offset + length);
    const bytes = this.#valueBytes;
    const raw = this.#raw;
    for (let at = 0; at < length; at++) bytes[at] = raw[offset + at] ?? 0;
    return this.#values(length);
  }

  /** Of up to 28 bits. ByteReader does more, at three times the cost. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 7 * VARINT_LENGTH_MAX; shift += 7) {
      const byte = this.#raw[this.#at++];
      if (byte === undefined) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new FormatError("malformed", "checkpoint block with a damaged length");
  }
}

/** Views of the first `length` bytes, each made once. */
function viewsOf(bytes: Buffer): (length: number) => Buffer {
  const views: Buffer[] = [];
  return (length) => {
    views[length] ??= bytes.subarray(0, length);
    return views[length];
  };
}
