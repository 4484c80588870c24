import { assert } from "../base/index.js";
import { compress, decompress } from "./compressor.js";
import { sharedLength } from "./fields.js";
import { FormatError } from "./format-error.js";
import { CHECKSUM_LENGTH_BYTES } from "./framing.js";
import { hashOf } from "./hash.js";

/** One record of the shared key space, encoded. */
export type KeyValue = readonly [key: Uint8Array, value: Uint8Array];

/** Stored length, raw length, record count. */
export const BLOCK_HEADER_LENGTH_BYTES = 12;
/** Records are gathered up to this many bytes: enough for the compressor to work with, little enough for flat memory. */
export const BLOCK_RAW_LENGTH_BYTES = 256 << 10;
/** No record makes a block this large; bounds what a damaged header can ask for. */
export const BLOCK_LENGTH_BYTES_MAX = 64 << 20;

export const VARINT_LENGTH_MAX = 4; // 28 bits, more than BLOCK_LENGTH_BYTES_MAX needs
/** Longer than any key of a record. */
export const KEY_LENGTH_BYTES_MAX = 1024;

/**
 * Gathers sorted records and encodes them as blocks: FORMATS, section "Checkpoint".
 *
 * Written with plain byte loops: millions of records of a few dozen bytes pass through here in one go, and a call
 * per field takes longer than the compressor.
 */
export class BlockBuilder {
  // Invariant: #bytes[0 … #length) holds #count records, the last with the key #previous[0 … #previousLength).
  #bytes: Buffer = Buffer.allocUnsafe(BLOCK_RAW_LENGTH_BYTES + 4096);
  #length = 0;
  #count = 0;
  readonly #previous = Buffer.alloc(KEY_LENGTH_BYTES_MAX);
  #previousLength = 0;

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#length >= BLOCK_RAW_LENGTH_BYTES;
  }

  /** @param key greater than that of the call before */
  add(key: Uint8Array, value: Uint8Array): void {
    assert(key.length <= KEY_LENGTH_BYTES_MAX, "a record has a key that no checkpoint has room for");
    this.#reserve(key.length + value.length + 3 * VARINT_LENGTH_MAX);
    const bytes = this.#bytes;
    const shared = this.#count === 0 ? 0 : sharedLength(this.#previous, key, this.#previousLength);
    let at = writeVarint(bytes, this.#length, shared);
    at = writeVarint(bytes, at, key.length - shared);
    at = writeVarint(bytes, at, value.length);
    at = copy(key, shared, bytes, at);
    this.#length = copy(value, 0, bytes, at);
    copy(key, shared, this.#previous, shared);
    this.#previousLength = key.length;
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
