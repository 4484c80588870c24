/** Bytes ↔ values: what every published file, every mount and every checkpoint does. */
import { randomBytes } from "node:crypto";
import { bench, describe } from "vitest";
import { type Epoch, type Ino, type Name, type OpSeq, ROOT_INO, type SegmentSeq } from "../../src/base/index.js";
import {
  contentKey,
  decodeChunk,
  decodeContent,
  decodeDentry,
  decodeInode,
  decodeSegmentPart,
  dentryKey,
  encodeChunk,
  encodeContent,
  encodeDentry,
  encodeInode,
  encodeSegmentPart,
  hashChunk,
  inodeKey,
  type LogEntry,
  loadCompressor,
} from "../../src/format/index.js";

await loadCompressor();

const MIB = 1 << 20;
const SEGMENT_FILES = 2000;
const time = { sec: 1_790_000_000, nsec: 123_456_789 };
const text = Buffer.from("def forward(self, x):\n    return self.layer(x) + x\n".repeat(MIB)).subarray(0, MIB);
const noise = randomBytes(MIB);
const hash = hashChunk(noise);
const inode = {
  ...{ mode: 0o100644, uid: 1000, gid: 1000, nlink: 1, rdev: 0, target: "" },
  ...{ atime: time, mtime: time, ctime: time, btime: time },
};
const content = { sizeBytes: 8000, mtime: time, version: 4711 as OpSeq, chunks: [hash] };

describe("chunk of 1 MiB", () => {
  bench("hash", () => void hashChunk(noise));
  bench("encode what does not compress", () => void encodeChunk(noise));
  bench("encode text", () => void encodeChunk(text));
  const encoded = encodeChunk(text);
  if (encoded === undefined) throw new Error("text is no hole");
  bench("decode and verify text", () => void decodeChunk(encoded.stored, { ...encoded, rawLength: MIB }));
});

describe("records of one file", () => {
  bench("encode inode, dentry, content", () => {
    encodeInode(inode);
    encodeDentry({ ino: 4711 as Ino, type: 0o100000 });
    encodeContent(content);
  });
  const stored = [
    encodeInode(inode),
    encodeDentry({ ino: 4711 as Ino, type: 0o100000 }),
    encodeContent(content),
  ] as const;
  bench("decode them", () => {
    decodeInode(stored[0]);
    decodeDentry(stored[1]);
    decodeContent(stored[2]);
  });
});

describe("segment of 2,000 new files", () => {
  const records = Array.from({ length: SEGMENT_FILES }, (_, index): [Uint8Array, Uint8Array][] => {
    const ino = (1000 + index) as Ino;
    const name = `file_${index}.bin` as Name;
    return [
      [contentKey(ino), encodeContent(content)],
      [dentryKey(ROOT_INO, name), encodeDentry({ ino, type: 0o100000 })],
      [inodeKey(ino), encodeInode(inode)],
    ];
  });
  const sorted = records.flat().sort(([a], [b]) => Buffer.compare(a, b));
  const entries = sorted.map(([key, value]): LogEntry => ({ op: "put", key, value }));
  const header = { epoch: 1 as Epoch, seq: 1 as SegmentSeq, part: 0, parts: 1 };
  const segment = { ...header, shipped: [{ first: 1 as OpSeq, last: 6000 as OpSeq }], entries };
  const bytes = encodeSegmentPart(segment);
  bench("encode", () => void encodeSegmentPart(segment));
  bench("decode", () => void decodeSegmentPart(bytes));
});
