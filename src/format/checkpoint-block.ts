import { assert } from "../base/index.js";
import { compress, decompress } from "./compressor.js";
import { sharedLength } from "./fields.js";
import { FormatError } from "./format-error.js";
import { CHECKSUM_LENGTH_BYTES, expectChecksum } from "./framing.js";
import { hashOf } from "./hash.js";

/** One record of the shared key space, encoded. */
export type KeyValue = readonly [key: Uint8Array, value: Uint8Array];

/** Stored length, raw length, record count. */
export const BLOCK_HEADER_LENGTH_BYTES = 12;
/** Records are gathered up to this many bytes: enough for the compressor to work with, little enough for flat memory. */
export const BLOCK_RAW_LENGTH_BYTES = 256 << 10;
/** No record makes a block this large; bounds what a damaged header can ask for. */
const BLOCK_LENGTH_BYTES_MAX = 64 << 20;

const VARINT_LENGTH_MAX = 4; // 28 bits, more than BLOCK_LENGTH_BYTES_MAX needs
const NO_KEY = new Uint8Array(0);

/**
 * Gathers sorted records and encodes them as blocks: FORMATS, section "Checkpoint".
 *
 * Written with plain byte loops: millions of records of a few dozen bytes pass through here in one go, and a call
 * per field takes longer than the compressor.
 */
export class BlockBuilder {
  // Invariant: #bytes[0 … #length) holds #count records, the last with key #previous.
  #bytes: Buffer = Buffer.allocUnsafe(BLOCK_RAW_LENGTH_BYTES + 4096);
  #length = 0;
  #count = 0;
  #previous: Uint8Array = NO_KEY;

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#length >= BLOCK_RAW_LENGTH_BYTES;
  }

  /** `key` is borrowed until the next call, and greater than that of the call before. */
  add(key: Uint8Array, value: Uint8Array): void {
    this.#reserve(key.length + value.length + 3 * VARINT_LENGTH_MAX);
    const bytes = this.#bytes;
    const shared = this.#count === 0 ? 0 : sharedLength(this.#previous, key);
    let at = writeVarint(bytes, this.#length, shared);
    at = writeVarint(bytes, at, key.length - shared);
    at = writeVarint(bytes, at, value.length);
    at = copy(key, shared, bytes, at);
    this.#length = copy(value, 0, bytes, at);
    this.#previous = key;
    this.#count++;
  }

  /**
   * The block with everything added since the last call.
   *
   * @throws InvariantError when it does not decompress to what was compressed.
   */
  finish(): Buffer {
    const raw = this.#bytes.subarray(0, this.#length);
    const stored = compress(raw);
    assert(decompress(stored, raw.length).equals(raw), "a checkpoint block does not survive compression");
    const end = BLOCK_HEADER_LENGTH_BYTES + stored.length;
    const block = Buffer.allocUnsafe(end + CHECKSUM_LENGTH_BYTES);
    block.writeUInt32LE(stored.length, 0);
    block.writeUInt32LE(raw.length, 4);
    block.writeUInt32LE(this.#count, 8);
    block.set(stored, BLOCK_HEADER_LENGTH_BYTES);
    block.set(hashOf(block.subarray(0, end)), end);
    this.#length = 0;
    this.#count = 0;
    return block;
  }

  #reserve(length: number): void {
    const needed = this.#length + length;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** Bytes of a whole block whose header has this stored length. @throws FormatError malformed. */
export function blockLength(storedLength: number): number {
  if (storedLength <= BLOCK_LENGTH_BYTES_MAX) return BLOCK_HEADER_LENGTH_BYTES + storedLength + CHECKSUM_LENGTH_BYTES;
  throw new FormatError("malformed", `checkpoint block of ${storedLength} bytes`);
}

/**
 * The records of one whole block. Values are views of memory that its records share; keys may be.
 *
 * @throws FormatError bad-checksum, malformed.
 */
export function decodeBlock(block: Buffer): KeyValue[] {
  const end = block.length - CHECKSUM_LENGTH_BYTES;
  expectChecksum("checkpoint block", block, 0, end);
  const rawLength = block.readUInt32LE(4);
  if (rawLength > BLOCK_LENGTH_BYTES_MAX) throw new FormatError("malformed", `checkpoint block of ${rawLength} bytes`);
  return decodeRecords(decompress(block.subarray(BLOCK_HEADER_LENGTH_BYTES, end), rawLength), block.readUInt32LE(8));
}

function decodeRecords(raw: Buffer, count: number): KeyValue[] {
  const records: KeyValue[] = [];
  const cursor = new Cursor(raw);
  let previous: Uint8Array = NO_KEY;
  for (let index = 0; index < count; index++) {
    const shared = cursor.varint();
    const suffixLength = cursor.varint();
    const valueLength = cursor.varint();
    const suffix = cursor.take(suffixLength);
    // Suffixes are as short as can be, so their first byte alone decides the order.
    if (shared > previous.length || suffixLength === 0 || (suffix[0] ?? 0) <= (previous[shared] ?? -1)) {
      throw new FormatError("malformed", "checkpoint block whose records are not sorted");
    }
    let key: Uint8Array = suffix;
    if (shared > 0) {
      key = Buffer.allocUnsafe(shared + suffixLength);
      copy(suffix, 0, key, copyFirst(previous, shared, key));
    }
    records.push([key, cursor.take(valueLength)]);
    previous = key;
  }
  if (!cursor.atEnd) throw new FormatError("malformed", "checkpoint block with more bytes than its records have");
  return records;
}

/** Reads varints of up to 28 bits and views. ByteReader does more, at three times the cost. */
class Cursor {
  #at = 0;

  constructor(readonly bytes: Buffer) {}

  get atEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 7 * VARINT_LENGTH_MAX; shift += 7) {
      const byte = this.bytes[this.#at++];
      if (byte === undefined) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new FormatError("malformed", "checkpoint block with a damaged length");
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.bytes.length) throw new FormatError("malformed", "checkpoint block that ends within a record");
    const view = this.bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }
}

/** @returns the offset behind what was written. */
function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Copies `from[start …)`; a loop beats a call for the few bytes of a record. @returns the offset behind it. */
function copy(from: Uint8Array, start: number, to: Uint8Array, offset: number): number {
  const length = from.length;
  if (length - start > 64) {
    to.set(start === 0 ? from : from.subarray(start), offset);
    return offset + length - start;
  }
  let at = offset;
  for (let index = start; index < length; index++) to[at++] = from[index] ?? 0;
  return at;
}

function copyFirst(from: Uint8Array, length: number, to: Uint8Array): number {
  for (let index = 0; index < length; index++) to[index] = from[index] ?? 0;
  return length;
}
