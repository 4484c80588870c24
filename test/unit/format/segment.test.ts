import { beforeAll, describe, expect, it } from "vitest";
import type { LogEntry } from "../../../src/format/index.js";
import {
  coalesce,
  decodeSegmentPart,
  dentryKey,
  encodeInode,
  encodeSegmentPart,
  encodeVerifiedSegmentPart,
  FormatError,
  hashOf,
  inodeKey,
  joinSegmentParts,
  loadCompressor,
  splitSegment,
  xattrKey,
} from "../../../src/format/index.js";
import { damage, epoch, INODE, ino, name, segmentPart, segmentSeq, seq, TIMES } from "./samples.js";

const ENTRIES: LogEntry[] = coalesce([
  { op: "put", key: inodeKey(ino(7)), value: encodeInode(INODE) },
  { op: "put", key: xattrKey(ino(7), name("user.\xff")), value: Buffer.alloc(0) },
  { op: "delete", key: dentryKey(ino(1), name("old")) },
  { op: "touch", ino: ino(1), mtime: TIMES.mtime, ctime: TIMES.ctime, nlinkDelta: -1, seq: seq(125) },
]);

beforeAll(loadCompressor);

describe("log segment", () => {
  it("decodes to what was encoded, and is encoded to the same bytes again", () => {
    const part = segmentPart(ENTRIES);
    const bytes = encodeVerifiedSegmentPart(part);
    const decoded = decodeSegmentPart(bytes);
    expect(decoded).toEqual(part);
    expect(encodeSegmentPart(decoded)).toEqual(bytes);
  });

  it("shares no memory with its bytes", () => {
    const bytes = encodeSegmentPart(segmentPart(ENTRIES));
    const decoded = decodeSegmentPart(bytes);
    bytes.fill(0);
    expect(decoded).toEqual(segmentPart(ENTRIES));
  });

  it("may be empty", () => {
    const part = { ...segmentPart([]), shipped: [] };
    expect(decodeSegmentPart(encodeVerifiedSegmentPart(part))).toEqual(part);
  });

  it("compresses entries that are alike", () => {
    const entries = Array.from({ length: 5000 }, (_, index): LogEntry => {
      return { op: "put", key: inodeKey(ino(1000 + index)), value: encodeInode(INODE) };
    });
    const bytes = encodeVerifiedSegmentPart(segmentPart(entries));
    expect(bytes.length).toBeLessThan(5000 * 10);
    expect(decodeSegmentPart(bytes).entries).toHaveLength(5000);
  });

  it("is refused after any cut and any flipped bit", () => {
    const bytes = encodeSegmentPart(segmentPart(ENTRIES));
    damage(bytes, (damaged, how) => {
      expect(() => decodeSegmentPart(damaged), how).toThrow(FormatError);
    });
  });

  it("of a newer version says so, but only when it is intact", () => {
    const bytes = encodeSegmentPart(segmentPart(ENTRIES));
    bytes.writeUInt16LE(2, 8);
    expect(() => decodeSegmentPart(bytes)).toThrow(expect.objectContaining({ kind: "bad-checksum" }));
    bytes.set(hashOf(bytes.subarray(0, -32)), bytes.length - 32);
    expect(() => decodeSegmentPart(bytes)).toThrow(expect.objectContaining({ kind: "too-new" }));
  });

  it("is refused when entries are unsorted, doubled or local", () => {
    const [first, second] = ENTRIES as [LogEntry, LogEntry];
    const local: LogEntry = { op: "delete", key: Buffer.from("f12345678") };
    for (const entries of [[second, first], [first, first], [local]]) {
      const bytes = encodeSegmentPart(segmentPart(entries));
      expect(() => decodeSegmentPart(bytes)).toThrow(expect.objectContaining({ kind: "malformed" }));
    }
  });

  it("is refused when the operations it ships are disordered", () => {
    const shipped = [
      { first: seq(5), last: seq(9) },
      { first: seq(9), last: seq(10) },
    ];
    const bytes = encodeSegmentPart({ ...segmentPart(ENTRIES), shipped });
    expect(() => decodeSegmentPart(bytes)).toThrow(expect.objectContaining({ kind: "malformed" }));
  });
});

describe("segment parts", () => {
  const segment = {
    epoch: epoch(2),
    seq: segmentSeq(9),
    shipped: [{ first: seq(1), last: seq(100) }],
    entries: Array.from({ length: 100 }, (_, index): LogEntry => {
      return { op: "put", key: inodeKey(ino(index + 1)), value: Buffer.alloc(100, index) };
    }),
  };

  it("are as many as their size asks for, and join again in any order", () => {
    const parts = splitSegment(segment, 2000);
    expect(parts.length).toBeGreaterThan(5);
    const decoded = parts.map((part) => decodeSegmentPart(encodeVerifiedSegmentPart(part)));
    expect(joinSegmentParts(decoded.reverse())).toEqual(segment);
    expect(splitSegment(segment)).toHaveLength(1);
    expect(joinSegmentParts(splitSegment({ ...segment, entries: [] })).entries).toEqual([]);
  });

  it("are refused when one is missing, doubled or of another segment", () => {
    const [first, second, ...rest] = splitSegment(segment, 2000) as [never, never];
    expect(() => joinSegmentParts([first, ...rest])).toThrow(expect.objectContaining({ kind: "truncated" }));
    expect(() => joinSegmentParts([first, first, ...rest])).toThrow(expect.objectContaining({ kind: "malformed" }));
    const other = { ...(second as object), seq: segmentSeq(10) } as never;
    expect(() => joinSegmentParts([first, other, ...rest])).toThrow(expect.objectContaining({ kind: "malformed" }));
    expect(() => joinSegmentParts([])).toThrow(expect.objectContaining({ kind: "truncated" }));
  });
});
