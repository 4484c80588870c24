import { FormatError } from "./format-error.js";
import type { Time } from "./time.js";

/**
 * Fixed-offset field access for records, which are encoded and decoded on the event-loop thread for every
 * request: no reader object, no bigint, no exception unless the bytes are damaged. Values are little-endian;
 * integers in keys are big-endian, so that byte order is numeric order.
 */

const TWO_POW_32 = 0x1_0000_0000;
const HIGH_WORD_MAX = 0x1f_ffff; // 2^53 − 1 = HIGH_WORD_MAX × 2^32 + (2^32 − 1)
const NSEC_PER_SEC = 1_000_000_000;

export const HASH_LENGTH_BYTES = 32;
/** i64 seconds, u32 nanoseconds. */
export const TIME_LENGTH_BYTES = 12;

/** The same bytes with Buffer's methods. Copies nothing. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function writeU64(bytes: Buffer, offset: number, value: number): void {
  bytes.writeUInt32LE(value >>> 0, offset);
  bytes.writeUInt32LE(Math.floor(value / TWO_POW_32), offset + 4);
}

/** @throws FormatError malformed above Number.MAX_SAFE_INTEGER. */
export function readU64(bytes: Buffer, offset: number): number {
  return combine(bytes.readUInt32LE(offset + 4), bytes.readUInt32LE(offset));
}

export function writeU64BigEndian(bytes: Buffer, offset: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / TWO_POW_32), offset);
  bytes.writeUInt32BE(value >>> 0, offset + 4);
}

/** @throws FormatError malformed above Number.MAX_SAFE_INTEGER. */
export function readU64BigEndian(bytes: Buffer, offset: number): number {
  return combine(bytes.readUInt32BE(offset), bytes.readUInt32BE(offset + 4));
}

export function writeTime(bytes: Buffer, offset: number, time: Time): void {
  // Floor division makes the low word of a negative number its two's complement.
  bytes.writeUInt32LE(time.sec >>> 0, offset);
  bytes.writeInt32LE(Math.floor(time.sec / TWO_POW_32), offset + 4);
  bytes.writeUInt32LE(time.nsec, offset + 8);
}

/** @throws FormatError malformed beyond ±2^53 seconds or at 10^9 nanoseconds. */
export function readTime(bytes: Buffer, offset: number): Time {
  const sec = bytes.readInt32LE(offset + 4) * TWO_POW_32 + bytes.readUInt32LE(offset);
  const nsec = bytes.readUInt32LE(offset + 8);
  if (nsec >= NSEC_PER_SEC || !Number.isSafeInteger(sec)) {
    throw new FormatError("malformed", `${sec} s ${nsec} ns is not a time`);
  }
  return { sec, nsec };
}

/** @throws FormatError malformed unless `hex` is 64 hex digits: the caller's mistake, caught before it is stored. */
export function writeHash(bytes: Buffer, offset: number, hex: string): void {
  if (
    hex.length === HASH_LENGTH_BYTES * 2 &&
    bytes.write(hex, offset, HASH_LENGTH_BYTES, "hex") === HASH_LENGTH_BYTES
  ) {
    return;
  }
  throw new FormatError("malformed", `${JSON.stringify(hex)} is not a hash of 64 hex digits`);
}

export function readHash(bytes: Buffer, offset: number): string {
  return bytes.toString("hex", offset, offset + HASH_LENGTH_BYTES);
}

/** Bytes two keys have in common at their start. */
export function sharedLength(a: Uint8Array, b: Uint8Array, lengthOfA = a.length): number {
  const max = Math.min(lengthOfA, b.length);
  let length = 0;
  while (length < max && a[length] === b[length]) length++;
  return length;
}

function combine(high: number, low: number): number {
  if (high > HIGH_WORD_MAX) throw new FormatError("malformed", "a 64-bit number is beyond 2^53");
  return high * TWO_POW_32 + low;
}
