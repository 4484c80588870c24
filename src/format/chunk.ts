import type { ChunkHash } from "../base/index.js";
import { compress, decompress } from "./compressor.js";
import { asBuffer } from "./fields.js";
import { FormatError } from "./format-error.js";
import { hexHashOf } from "./hash.js";
import { CHUNK_SIZE_BYTES, Codec } from "./records.js";

/** A chunk as its pack holds it. */
export interface EncodedChunk {
  /** Of the plain bytes. */
  readonly hash: ChunkHash;
  readonly codec: Codec;
  readonly rawLength: number;
  /** Borrowed from the input when the codec is plain. */
  readonly stored: Uint8Array;
}

/** What must be known about a stored chunk to decode it. */
export interface StoredChunk {
  readonly hash: ChunkHash;
  readonly codec: Codec;
  readonly rawLength: number;
}

/**
 * Compression pays when it saves a quarter. Model weights in half precision would shrink by a fifth, and then be read
 * back at the decompressor's speed for ever: not worth it for what fills most GPU volumes.
 */
const PAYS_NUMERATOR = 3;
const PAYS_DENOMINATOR = 4;

const SAMPLES = 4;
const SAMPLE_BYTES = 4096;
const ZEROS = Buffer.alloc(CHUNK_SIZE_BYTES);

/** The name of a chunk with these bytes; null for a hole (all bytes zero, or none). */
export function hashChunk(plain: Uint8Array): ChunkHash | null {
  return isHole(plain) ? null : (hexHashOf(plain) as ChunkHash);
}

/**
 * Hashes a chunk and compresses it when that pays; undefined for a hole, which is stored nowhere.
 *
 * @param plain length ≤ CHUNK_SIZE_BYTES
 * @param hash its hash, where that is known
 */
export function encodeChunk(plain: Uint8Array, hash = hashChunk(plain)): EncodedChunk | undefined {
  if (hash === null) return undefined;
  if (seemsCompressible(plain)) {
    const stored = compress(plain);
    if (pays(stored.length, plain.length)) return { hash, codec: Codec.zstd, rawLength: plain.length, stored };
  }
  return { hash, codec: Codec.plain, rawLength: plain.length, stored: plain };
}

/**
 * A chunk's plain bytes, checked against its hash. Borrowed from `stored` when the codec is plain.
 *
 * @throws FormatError truncated, malformed, bad-checksum.
 */
export function decodeChunk(stored: Uint8Array, chunk: StoredChunk): Buffer {
  if (chunk.rawLength > CHUNK_SIZE_BYTES) {
    throw new FormatError("malformed", `chunk ${chunk.hash} claims ${chunk.rawLength} bytes`);
  }
  const plain = decode(stored, chunk);
  if (hexHashOf(plain) === chunk.hash) return plain;
  throw new FormatError("bad-checksum", `chunk ${chunk.hash} is damaged: its ${plain.length} bytes have another hash`);
}

function decode(stored: Uint8Array, { hash, codec, rawLength }: StoredChunk): Buffer {
  if (codec === Codec.zstd) return decompress(stored, rawLength);
  if (stored.length === rawLength) return asBuffer(stored);
  throw new FormatError(
    stored.length < rawLength ? "truncated" : "malformed",
    `chunk ${hash} has ${stored.length} bytes instead of ${rawLength}`,
  );
}

function isHole(plain: Uint8Array): boolean {
  // The first byte tells most chunks from holes; memcmp the rest.
  return plain.length === 0 || (plain[0] === 0 && asBuffer(plain).equals(ZEROS.subarray(0, plain.length)));
}

/** Compresses a sample of a large chunk: a fortieth of the work, to save all of it on images, archives and weights. */
function seemsCompressible(plain: Uint8Array): boolean {
  if (plain.length <= 2 * SAMPLES * SAMPLE_BYTES) return true;
  const sample = Buffer.allocUnsafe(SAMPLES * SAMPLE_BYTES);
  const stride = Math.floor((plain.length - SAMPLE_BYTES) / (SAMPLES - 1));
  for (let index = 0; index < SAMPLES; index++) {
    const at = index * stride;
    sample.set(plain.subarray(at, at + SAMPLE_BYTES), index * SAMPLE_BYTES);
  }
  return pays(compress(sample).length, sample.length);
}

function pays(storedLength: number, rawLength: number): boolean {
  return storedLength * PAYS_DENOMINATOR <= rawLength * PAYS_NUMERATOR;
}
