import { beforeAll, describe, expect, it } from "vitest";
import {
  CHUNK_SIZE_BYTES,
  Codec,
  decodeChunk,
  type EncodedChunk,
  encodeChunk,
  FormatError,
  hashChunk,
  loadCompressor,
} from "../../../src/format/index.js";
import { damage, noise } from "./samples.js";

const TEXT = Buffer.from("all work and no play makes jack a dull boy\n".repeat(40_000)).subarray(0, CHUNK_SIZE_BYTES);

beforeAll(loadCompressor);

function encoded(plain: Uint8Array): EncodedChunk {
  const chunk = encodeChunk(plain);
  expect(chunk).toBeDefined();
  return chunk!;
}

describe("chunk", () => {
  it.each([
    ["one byte", Buffer.of(7), Codec.plain],
    ["a small text", TEXT.subarray(0, 3000), Codec.zstd],
    ["a full chunk of text", TEXT, Codec.zstd],
    ["a small image", noise(5000), Codec.plain],
    ["a full chunk of noise", noise(CHUNK_SIZE_BYTES), Codec.plain],
    ["zeros with a last byte", Buffer.concat([Buffer.alloc(CHUNK_SIZE_BYTES - 1), Buffer.of(1)]), Codec.zstd],
  ])("of %s decodes to what it was", (_, plain, codec) => {
    const chunk = encoded(plain);
    expect(chunk.codec).toBe(codec);
    expect(chunk.rawLength).toBe(plain.length);
    expect(chunk.hash).toBe(hashChunk(plain));
    expect(decodeChunk(chunk.stored, chunk).equals(plain)).toBe(true);
  });

  it("of zeros only, or of nothing, is a hole", () => {
    for (const length of [0, 1, 4096, CHUNK_SIZE_BYTES]) {
      expect(encodeChunk(Buffer.alloc(length))).toBeUndefined();
      expect(hashChunk(Buffer.alloc(length))).toBeNull();
    }
  });

  it("is named by the BLAKE3 of its plain bytes", () => {
    // Test vector: https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json, input_len 3.
    expect(hashChunk(Buffer.of(0, 1, 2))).toBe("e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f");
  });

  it("is refused after any cut and any flipped bit", () => {
    for (const plain of [TEXT.subarray(0, 500), noise(60)]) {
      const chunk = encoded(plain);
      damage(Buffer.from(chunk.stored), (damaged, how) => {
        // A bit of a zstd frame may mean nothing (a reserved flag): then the bytes come out right, and that is fine.
        let decoded: Buffer;
        try {
          decoded = decodeChunk(damaged, chunk);
        } catch (error) {
          expect(error, how).toBeInstanceOf(FormatError);
          return;
        }
        expect(decoded.equals(plain), how).toBe(true);
      });
    }
  });

  it("that claims to be larger than a chunk, or than its frame, is refused before memory is taken", () => {
    const chunk = encoded(TEXT);
    for (const rawLength of [TEXT.length - 1, CHUNK_SIZE_BYTES + 1, 2 ** 31]) {
      expect(() => decodeChunk(chunk.stored, { ...chunk, rawLength })).toThrow(
        expect.objectContaining({ kind: "malformed" }),
      );
    }
  });
});
