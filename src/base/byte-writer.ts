import { BytesError, TWO_POW_32, VARINT_LENGTH_MAX } from "./bytes-error.js";

const CAPACITY_BYTES_DEFAULT = 256;

/** Builds little-endian bytes that grow as needed. Methods return the writer, so that calls chain. */
export class ByteWriter {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;

  constructor(capacityBytes = CAPACITY_BYTES_DEFAULT) {
    this.#bytes = Buffer.allocUnsafe(Math.max(capacityBytes, 16));
    this.#view = viewOf(this.#bytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    checkRange(value, 0xff, "u8");
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    checkRange(value, 0xffff, "u16");
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    checkRange(value, 0xffff_ffff, "u32");
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: number): this {
    checkRange(value, Number.MAX_SAFE_INTEGER, "u64");
    return this.#eight(value);
  }

  i64(value: number): this {
    checkRange(Math.abs(value), Number.MAX_SAFE_INTEGER, "i64");
    return this.#eight(value);
  }

  varint(value: number): this {
    checkRange(value, Number.MAX_SAFE_INTEGER, "varint");
    let at = this.#grow(VARINT_LENGTH_MAX);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[at++] = rest;
    this.#length = at;
    return this;
  }

  /** Copies `bytes`. */
  bytes(bytes: Uint8Array): this {
    const at = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Hex digits as `lengthBytes` bytes. */
  hex(digits: string, lengthBytes: number): this {
    const at = this.#grow(lengthBytes);
    const written = digits.length === lengthBytes * 2 ? this.#bytes.write(digits, at, lengthBytes, "hex") : 0;
    if (written === lengthBytes) return this;
    this.#length = at;
    throw new BytesError("out-of-range", `expected ${lengthBytes * 2} hex digits, not ${JSON.stringify(digits)}`);
  }

  /** One byte per char. @throws BytesError out-of-range when a char is above U+00FF. */
  latin1(text: string): this {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the full byte range is the point.
    if (!/^[\x00-\xff]*$/.test(text)) {
      throw new BytesError("out-of-range", `${JSON.stringify(text)} has characters that are not bytes`);
    }
    const at = this.#grow(text.length);
    this.#bytes.write(text, at, "latin1");
    return this;
  }

  /** A varint length, then the bytes. */
  prefixedBytes(bytes: Uint8Array): this {
    return this.varint(bytes.byteLength).bytes(bytes);
  }

  /** A varint length, then one byte per char. */
  prefixedLatin1(text: string): this {
    return this.varint(text.length).latin1(text);
  }

  /** What was written, as a view of the writer's memory: further writes may or may not show in it. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #eight(value: number): this {
    const at = this.#grow(8);
    const low = ((value % TWO_POW_32) + TWO_POW_32) % TWO_POW_32;
    this.#view.setUint32(at, low, true);
    this.#view.setInt32(at + 4, (value - low) / TWO_POW_32, true);
    return this;
  }

  /** Makes room, possibly in other memory: #bytes and #view are to be looked at afterwards. Returns where it begins. */
  #grow(length: number): number {
    const at = this.#length;
    const needed = at + length;
    if (needed > this.#bytes.byteLength) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.byteLength * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = viewOf(grown);
    }
    this.#length = needed;
    return at;
  }
}

function checkRange(value: number, max: number, what: string): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  throw new BytesError("out-of-range", `${value} does not fit a ${what}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
