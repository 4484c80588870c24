import { beforeAll, describe, expect, it } from "vitest";
import type { EncodedChunk } from "../../../src/format/index.js";
import {
  decodePackFooter,
  encodeChunk,
  FormatError,
  hashOf,
  hexHashOf,
  loadCompressor,
  PACK_TRAILER_LENGTH_BYTES,
  PackLayout,
  packFooterLength,
  packFooterLengthOf,
  packIdOf,
  verifyPack,
} from "../../../src/format/index.js";
import { damage, noise, packId } from "./samples.js";

beforeAll(loadCompressor);

function build(plains: readonly Buffer[]): { layout: PackLayout; bytes: Buffer } {
  const layout = new PackLayout();
  const pieces: Uint8Array[] = [];
  for (const plain of plains) {
    const chunk = encodeChunk(plain) as EncodedChunk;
    if (layout.find(chunk.hash) !== undefined) continue;
    layout.add(chunk);
    pieces.push(chunk.stored);
  }
  return { layout, bytes: Buffer.concat([...pieces, layout.footer()]) };
}

const PLAINS = [noise(100), Buffer.from("text ".repeat(500)), noise(50, 7), noise(100)];

describe("pack", () => {
  it("says what it holds, each chunk once, with nothing else at hand", () => {
    const { layout, bytes } = build(PLAINS);
    expect(bytes).toHaveLength(layout.sizeBytes);
    expect(layout.entries).toHaveLength(3);
    expect(decodePackFooter(bytes, bytes.length)).toEqual(layout.entries);
    expect(verifyPack(bytes, packIdOf(bytes))).toEqual(layout.entries);
    expect(layout.entries.map((entry) => entry.offset)).toEqual([0, 100, 100 + layout.entries[1]!.storedLength]);
  });

  it("is read from its end: first the trailer, then the footer", () => {
    const { layout, bytes } = build(PLAINS);
    const length = packFooterLengthOf(bytes.subarray(-PACK_TRAILER_LENGTH_BYTES), bytes.length);
    expect(length).toBe(packFooterLength(3));
    expect(decodePackFooter(bytes.subarray(-length), bytes.length)).toEqual(layout.entries);
    expect(() => decodePackFooter(bytes.subarray(1 - length), bytes.length)).toThrow(
      expect.objectContaining({ kind: "truncated" }),
    );
  });

  it("is named by the chunks it holds and their places", () => {
    const { layout, bytes } = build(PLAINS);
    const footer = layout.footer();
    expect(packIdOf(bytes)).toBe(hexHashOf(footer.subarray(0, footer.length - 40)));
    expect(packIdOf(build(PLAINS).bytes)).toBe(packIdOf(bytes));
    for (const other of [PLAINS.slice(1), [...PLAINS].reverse(), [...PLAINS.slice(0, 3), noise(100, 9)]])
      expect(packIdOf(build(other).bytes)).not.toBe(packIdOf(bytes));
    expect(() => verifyPack(bytes, packId("0"))).toThrow(expect.objectContaining({ kind: "bad-checksum" }));
  });

  it("has a footer that is refused after any cut and any flipped bit", () => {
    const { layout, bytes } = build(PLAINS);
    damage(layout.footer(), (footer, how) => {
      const damaged = Buffer.concat([bytes.subarray(0, layout.dataLength), footer]);
      expect(() => decodePackFooter(damaged, damaged.length), how).toThrow(FormatError);
    });
  });

  it("is refused after any flipped bit in its chunks", () => {
    const { layout, bytes } = build([noise(40), noise(40, 3)]);
    for (let bit = 0; bit < layout.dataLength * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => verifyPack(damaged)).toThrow(expect.objectContaining({ kind: "bad-checksum" }));
    }
  });

  it("with a bad chunk behind a good checksum is refused", () => {
    const { layout, bytes } = build(PLAINS);
    const footer = Buffer.from(layout.footer());
    footer.writeUInt32LE(1, 32); // the first chunk's offset
    const end = footer.length - 40;
    footer.set(hashOf(footer.subarray(0, end)), end);
    const damaged = Buffer.concat([bytes.subarray(0, layout.dataLength), footer]);
    expect(() => decodePackFooter(damaged, damaged.length)).toThrow(expect.objectContaining({ kind: "malformed" }));
  });

  it("does not take a chunk twice", () => {
    const layout = new PackLayout();
    const chunk = encodeChunk(noise(10)) as EncodedChunk;
    layout.add(chunk);
    expect(() => layout.add(chunk)).toThrow("already in the pack");
  });
});
