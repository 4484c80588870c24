import { BytesError, TWO_POW_32, VARINT_LENGTH_MAX } from "./bytes-error.js";

/**
 * Reads little-endian values from borrowed bytes, front to back.
 *
 * 64-bit values are plain numbers and must be safe integers: podfs stores no others, and a larger one in a file is
 * damage. Every method @throws BytesError truncated, and leaves the position where it was.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1, "u8"));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2, "u16"), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4, "u32"), true);
  }

  /** @throws BytesError malformed above Number.MAX_SAFE_INTEGER. */
  u64(): number {
    const at = this.#advance(8, "u64");
    return this.#safe(this.#view.getUint32(at + 4, true) * TWO_POW_32 + this.#view.getUint32(at, true), at, "u64");
  }

  /** @throws BytesError malformed beyond ±Number.MAX_SAFE_INTEGER. */
  i64(): number {
    const at = this.#advance(8, "i64");
    return this.#safe(this.#view.getInt32(at + 4, true) * TWO_POW_32 + this.#view.getUint32(at, true), at, "i64");
  }

  /** Unsigned LEB128. @throws BytesError malformed when over-long or above Number.MAX_SAFE_INTEGER. */
  varint(): number {
    const start = this.#offset;
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= VARINT_LENGTH_MAX; length++) {
      const byte = this.#bytes[start + length - 1];
      if (byte === undefined) throw this.#truncated(length, "varint");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // One encoding per value, so that equal records are equal bytes.
        if (byte === 0 && length > 1) throw malformed("varint", start, "is longer than its value needs");
        const safe = this.#safe(value, start, "varint");
        this.#offset = start + length;
        return safe;
      }
      scale *= 0x80;
    }
    throw malformed("varint", start, `is longer than ${VARINT_LENGTH_MAX} bytes`);
  }

  /** A view of the underlying bytes, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#advance(length, "bytes");
    return this.#bytes.subarray(at, at + length);
  }

  /** `lengthBytes` bytes as lowercase hex digits: how hashes are written as text. */
  hex(lengthBytes: number): string {
    const at = this.#advance(lengthBytes, "hash");
    return bufferOf(this.#bytes).toString("hex", at, at + lengthBytes);
  }

  /** `length` bytes as a string of one char per byte. */
  latin1(length: number): string {
    const at = this.#advance(length, "string");
    return bufferOf(this.#bytes).toString("latin1", at, at + length);
  }

  /** A varint length, then that many bytes (a view). */
  prefixedBytes(): Uint8Array {
    return this.#prefixed((length) => this.bytes(length));
  }

  /** A varint length, then that many bytes as a string of one char per byte. */
  prefixedLatin1(): string {
    return this.#prefixed((length) => this.latin1(length));
  }

  skip(length: number): void {
    this.#advance(length, "skipped bytes");
  }

  /** @throws BytesError malformed when bytes are left over. */
  expectEnd(): void {
    if (this.remaining > 0) throw malformed("end", this.#offset, `is followed by ${this.remaining} more bytes`);
  }

  #prefixed<T>(read: (length: number) => T): T {
    const start = this.#offset;
    try {
      return read(this.varint());
    } catch (error) {
      this.#offset = start;
      throw error;
    }
  }

  #advance(length: number, what: string): number {
    const at = this.#offset;
    if (!(length >= 0 && length <= this.remaining)) throw this.#truncated(length, what);
    this.#offset = at + length;
    return at;
  }

  #safe(value: number, at: number, what: string): number {
    if (Number.isSafeInteger(value)) return value;
    this.#offset = at;
    throw malformed(what, at, "is beyond 2^53");
  }

  #truncated(length: number, what: string): BytesError {
    return new BytesError(
      "truncated",
      `${what} of ${length} bytes at offset ${this.#offset} ends after the data does (${this.remaining} bytes left)`,
    );
  }
}

function malformed(what: string, at: number, why: string): BytesError {
  return new BytesError("malformed", `${what} at offset ${at} ${why}`);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
