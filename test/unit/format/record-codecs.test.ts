import { describe, expect, it } from "vitest";
import {
  Codec,
  contentSizeBytes,
  decodeChunkRecord,
  decodeContent,
  decodeDentry,
  decodeDirectoryTimes,
  decodeExtent,
  decodeInode,
  decodePackRecord,
  EXTENT_GROUP_CHUNKS,
  encodeChunkRecord,
  encodeContent,
  encodeDentry,
  encodeDirectoryTimes,
  encodeExtent,
  encodeInode,
  encodePackRecord,
  FormatError,
} from "../../../src/format/index.js";
import { CHUNK, CONTENT, chunkHash, INODE, ino, packId, TIMES } from "./samples.js";

const DENTRY = { ino: ino(Number.MAX_SAFE_INTEGER), type: 0o040000 };
const EXTENT = Array.from({ length: EXTENT_GROUP_CHUNKS }, (_, index) => (index % 3 === 0 ? null : chunkHash("c3")));
const PACK = { id: packId("5e"), sizeBytes: 67_108_864 };

/** Every record: its bytes, its decoder, and whether more bytes may be a longer value of the same kind. */
const RECORDS: [string, unknown, Buffer, (bytes: Uint8Array) => unknown, boolean][] = [
  ["inode", INODE, encodeInode(INODE), decodeInode, true],
  ["directory times", TIMES, encodeDirectoryTimes(TIMES), decodeDirectoryTimes, false],
  ["dentry", DENTRY, encodeDentry(DENTRY), decodeDentry, false],
  ["content", CONTENT, encodeContent(CONTENT), decodeContent, false],
  [
    "large content",
    { ...CONTENT, chunks: undefined },
    encodeContent({ ...CONTENT, chunks: undefined }),
    decodeContent,
    false,
  ],
  ["empty content", { ...CONTENT, chunks: [] }, encodeContent({ ...CONTENT, chunks: [] }), decodeContent, false],
  ["extent", EXTENT, encodeExtent(EXTENT), decodeExtent, false],
  ["chunk", CHUNK, encodeChunkRecord(CHUNK), decodeChunkRecord, false],
  ["pack", PACK, encodePackRecord(PACK), decodePackRecord, false],
];

describe.each(RECORDS)("%s record", (_, value, bytes, decode, open) => {
  it("decodes to what was encoded", () => {
    expect(decode(bytes)).toEqual(value);
    // Bytes anywhere in a larger buffer, as a store hands them out.
    const page = Buffer.concat([Buffer.alloc(13, 0xaa), bytes, Buffer.alloc(5, 0xbb)]);
    expect(decode(new Uint8Array(page.buffer, page.byteOffset + 13, bytes.length))).toEqual(value);
  });

  it("shares no memory with its bytes", () => {
    const copy = Buffer.from(bytes);
    const decoded = decode(copy);
    copy.fill(0xff);
    expect(decoded).toEqual(value);
  });

  it("refuses bytes left over, where they could not be more of the value", () => {
    const longer = Buffer.concat([bytes, Buffer.alloc(1)]);
    if (open) expect(decode(longer)).not.toEqual(value);
    else expect(() => decode(longer)).toThrow(FormatError);
  });

  it("never fails with anything but a FormatError, wherever it is cut", () => {
    for (let length = 0; length < Math.min(bytes.length, 200); length++) {
      try {
        decode(bytes.subarray(0, length));
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }
  });
});

describe("record codecs", () => {
  it("keep a symlink target byte for byte, and none for other files", () => {
    const allBytes = String.fromCharCode(...Array.from({ length: 255 }, (_, index) => index + 1));
    expect(decodeInode(encodeInode({ ...INODE, target: allBytes })).target).toBe(allBytes);
    expect(decodeInode(encodeInode({ ...INODE, target: "" })).target).toBe("");
  });

  it("refuse nanoseconds of a whole second", () => {
    const bytes = encodeDirectoryTimes(TIMES);
    bytes.writeUInt32LE(1_000_000_000, 8);
    expect(() => decodeDirectoryTimes(bytes)).toThrow(expect.objectContaining({ kind: "malformed" }));
  });

  it("refuse more inline chunks than fit, when writing and when reading", () => {
    const chunks = Array.from({ length: 17 }, () => chunkHash("1"));
    expect(() => encodeContent({ ...CONTENT, chunks })).toThrow("17 chunks");
    const bytes = Buffer.concat([encodeContent({ ...CONTENT, chunks: [] }), encodeExtent(chunks)]);
    expect(() => decodeContent(bytes)).toThrow(expect.objectContaining({ kind: "malformed" }));
    expect(() => encodeExtent(Array.from({ length: 1025 }, () => null))).toThrow("1025 chunks");
  });

  it("tell the size of a content record alone, and refuse one that is cut", () => {
    const bytes = encodeContent(CONTENT);
    expect(contentSizeBytes(bytes)).toBe(CONTENT.sizeBytes);
    expect(() => contentSizeBytes(bytes.subarray(0, 28))).toThrow(FormatError);
  });

  it("say that an unknown codec takes a newer podfs", () => {
    const bytes = encodeChunkRecord({ ...CHUNK, codec: Codec.plain });
    bytes[20] = 9;
    expect(() => decodeChunkRecord(bytes)).toThrow(expect.objectContaining({ kind: "too-new" }));
  });
});
