import { Blake3Hasher, blake3 } from "@napi-rs/blake-hash";

/** BLAKE3-256, the only hash and checksum of the formats: 32 bytes. */
export function hashOf(bytes: Uint8Array): Buffer {
  return blake3(bytes);
}

/** {@link hashOf} as 64 lowercase hex digits, the form of chunk hashes and pack ids. */
export function hexHashOf(bytes: Uint8Array): string {
  return blake3(bytes).toString("hex");
}

/** BLAKE3-256 of bytes that come piece by piece. */
export class RunningHash {
  readonly #hasher = new Blake3Hasher();

  update(bytes: Uint8Array): this {
    this.#hasher.update(bytes);
    return this;
  }

  /** Of everything so far; more may follow. */
  digest(): Buffer {
    return this.#hasher.digestBuffer();
  }

  hexDigest(): string {
    return this.#hasher.digest("hex");
  }
}
