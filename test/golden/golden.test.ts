import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import {
  decodeChunk,
  decodeChunkRecord,
  decodeContent,
  decodeDentry,
  decodeDescriptor,
  decodeDirectoryTimes,
  decodeExtent,
  decodeInode,
  decodeLease,
  decodePackRecord,
  decodeSegmentPart,
  type EncodedChunk,
  encodeCheckpoint,
  encodeChunk,
  encodeDescriptor,
  encodeLease,
  encodeSegmentPart,
  type KeyValue,
  loadCompressor,
  PackLayout,
  parseKey,
  readCheckpoint,
  verifyPack,
} from "../../src/format/index.js";
import * as values from "./values.js";

/**
 * Volumes written by format version 1 stay readable, byte for byte. A fixture is written once, when it does not exist
 * (PODFS_WRITE_GOLDEN=1), and never again: when one of these tests fails, it is the code that is wrong.
 *
 * Where zstd made the bytes they are decoded only: another version of it may rightly compress otherwise.
 */
function fixture(name: string, encode: () => Uint8Array): Buffer {
  const file = new URL(`v1/${name}`, import.meta.url);
  if (!existsSync(file) && process.env.PODFS_WRITE_GOLDEN === "1") writeFileSync(file, encode());
  return readFileSync(file);
}

beforeAll(loadCompressor);

describe("format version 1", () => {
  it("keeps its keys and records", () => {
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
    const written = Object.fromEntries(
      Object.entries(values.RECORDS).map(([name, [key, value]]) => [name, { key: hex(key), value: hex(value) }]),
    );
    const bytes = fixture("records.json", () => Buffer.from(`${JSON.stringify(written, undefined, 2)}\n`));
    const stored = JSON.parse(bytes.toString()) as typeof written;
    expect(stored).toEqual(written);
    const value = (name: string) => Buffer.from(stored[name]!.value, "hex");
    expect(decodeInode(value("inode"))).toEqual(values.INODE);
    expect(decodeDirectoryTimes(value("directoryTimes"))).toEqual(values.TIMES);
    expect(decodeDentry(value("dentry"))).toEqual(values.DENTRY);
    expect(decodeContent(value("smallContent"))).toEqual(values.SMALL);
    expect(decodeContent(value("largeContent"))).toEqual(values.LARGE);
    expect(decodeExtent(value("extent"))).toEqual(values.EXTENT);
    expect(decodeChunkRecord(value("chunk"))).toEqual(values.CHUNK);
    expect(decodePackRecord(value("pack"))).toEqual(values.PACK_RECORD);
    const key = (name: string) => parseKey(Buffer.from(stored[name]!.key, "hex"));
    expect(key("inode")).toEqual({ kind: "inode", ino: 7 });
    expect(key("dentry")).toEqual({ kind: "dentry", parent: 1, name: "caf\xc3\xa9" });
    expect(key("extent")).toEqual({ kind: "extent", ino: 0x0102030406, group: 2 });
  });

  it("keeps its descriptor", () => {
    const bytes = fixture("podfs.json", () => encodeDescriptor(values.DESCRIPTOR));
    expect(decodeDescriptor(bytes)).toEqual(values.DESCRIPTOR);
    expect(encodeDescriptor(values.DESCRIPTOR)).toEqual(bytes);
  });

  it("keeps its lease", () => {
    const bytes = fixture("lease", () => encodeLease(values.LEASE));
    expect(decodeLease(bytes)).toEqual(values.LEASE);
    expect(encodeLease(values.LEASE)).toEqual(bytes);
  });

  it("keeps its log segments", () => {
    const plain = fixture("segment-plain", () => encodeSegmentPart(values.PLAIN_SEGMENT));
    expect(decodeSegmentPart(plain)).toEqual(values.PLAIN_SEGMENT);
    expect(encodeSegmentPart(values.PLAIN_SEGMENT)).toEqual(plain);
    const compressed = fixture("segment-zstd", () => encodeSegmentPart(values.COMPRESSED_SEGMENT));
    expect(compressed[10]).toBe(1);
    expect(decodeSegmentPart(compressed)).toEqual(values.COMPRESSED_SEGMENT);
  });

  it("keeps its checkpoints", () => {
    const encode = () => Buffer.concat([...encodeCheckpoint(values.CHECKPOINT, values.CHECKPOINT_RECORDS)]);
    const reader = readCheckpoint([fixture("checkpoint", encode)]);
    expect(reader.header).toEqual(values.CHECKPOINT);
    // Each record is lent until the next is taken.
    const comparable = (records: Iterable<KeyValue>) =>
      Array.from(records, (pair) => pair.map((part) => Buffer.from(part)));
    expect(comparable(reader.records)).toEqual(comparable(values.CHECKPOINT_RECORDS));
  });

  it("keeps its packs", () => {
    const encode = () => {
      const layout = new PackLayout();
      const chunks = values.CHUNKS.map((plain) => encodeChunk(plain) as EncodedChunk);
      for (const chunk of chunks) layout.add(chunk);
      return Buffer.concat([...chunks.map((chunk) => chunk.stored), layout.footer()]);
    };
    const bytes = fixture("pack", encode);
    const entries = verifyPack(bytes);
    expect(entries.map((entry) => entry.codec)).toEqual([0, 1]);
    const plains = entries.map((entry) =>
      decodeChunk(bytes.subarray(entry.offset, entry.offset + entry.storedLength), entry),
    );
    expect(plains).toEqual(values.CHUNKS);
    const layout = new PackLayout();
    for (const { offset, storedLength, ...entry } of entries) {
      layout.add({ ...entry, stored: bytes.subarray(offset, offset + storedLength) });
    }
    expect(layout.footer()).toEqual(bytes.subarray(layout.dataLength));
  });
});
