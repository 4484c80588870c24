import { isDeepStrictEqual } from "node:util";
import { assert, ByteReader, ByteWriter, type Epoch, type OpSeq, type SegmentSeq } from "../base/index.js";
import { compress, decompress } from "./compressor.js";
import { decodeEntries, encodeEntries, sameEntry } from "./entries.js";
import { asBuffer } from "./fields.js";
import { decoding, FormatError } from "./format-error.js";
import {
  CHECKSUM_LENGTH_BYTES,
  expectChecksum,
  expectMagic,
  expectVersion,
  FORMAT_VERSION,
  Magic,
  truncated,
} from "./framing.js";
import { hashOf } from "./hash.js";
import { isSharedKey } from "./keys.js";
import { codecOf } from "./record-codecs.js";
import { Codec, type LogEntry } from "./records.js";
import { keyOfEntry } from "./touch.js";

/** Operations first … last, both included. */
export interface OpRange {
  readonly first: OpSeq;
  readonly last: OpSeq;
}

/** What all parts of a segment say about it. */
export interface SegmentHeader {
  readonly epoch: Epoch;
  readonly seq: SegmentSeq;
  /** Parts of the whole segment; a reader applies all or none. */
  readonly parts: number;
  /** The operations this segment ships, ascending, not overlapping. Gaps are shipped by other segments. */
  readonly shipped: readonly OpRange[];
}

/** One object of the metadata log: entries sorted by key, one per key. */
export interface SegmentPart extends SegmentHeader {
  /** From 0. Parts hold ascending ranges of keys. */
  readonly part: number;
  readonly entries: readonly LogEntry[];
}

const HEADER_LENGTH_BYTES = 64;
const RANGE_LENGTH_BYTES = 16;
/** More than a part ever has ({@link splitSegment}); bounds what a damaged header can ask for. */
const RAW_LENGTH_BYTES_MAX = 1 << 30;

/** Bytes of the object, checksum included: FORMATS, section "Log segment". */
export function encodeSegmentPart(segment: SegmentPart): Buffer {
  const raw = encodeEntries(segment.entries);
  const compressed = compress(raw);
  const codec = compressed.length < raw.length ? Codec.zstd : Codec.plain;
  const stored = codec === Codec.zstd ? compressed : raw;
  const writer = new ByteWriter(
    HEADER_LENGTH_BYTES + segment.shipped.length * RANGE_LENGTH_BYTES + stored.length + CHECKSUM_LENGTH_BYTES,
  );
  writer.latin1(Magic.segment).u16(FORMAT_VERSION).u8(codec).u8(0);
  writer.u64(segment.epoch).u64(segment.seq).u32(segment.part).u32(segment.parts);
  writer.u32(segment.shipped.length).u32(segment.entries.length).u32(raw.length).u32(stored.length);
  writer.bytes(new Uint8Array(HEADER_LENGTH_BYTES - writer.length));
  for (const range of segment.shipped) writer.u64(range.first).u64(range.last);
  writer.bytes(stored);
  return asBuffer(writer.bytes(hashOf(writer.finish())).finish());
}

/** @throws FormatError of every kind. Entry values are views of memory that the result owns. */
export function decodeSegmentPart(bytes: Uint8Array): SegmentPart {
  expectMagic("log segment", bytes, 0, Magic.segment);
  const end = bytes.length - CHECKSUM_LENGTH_BYTES;
  if (end < HEADER_LENGTH_BYTES) throw truncated("log segment", bytes.length);
  expectChecksum("log segment", bytes, 0, end);
  return decoding("log segment", () => {
    const reader = new ByteReader(bytes.subarray(0, end), Magic.segment.length);
    expectVersion("log segment", reader.u16());
    const codec = codecOf(reader.u8());
    reader.skip(1);
    const epoch = reader.u64() as Epoch;
    const seq = reader.u64() as SegmentSeq;
    const part = reader.u32();
    const parts = reader.u32();
    const rangeCount = reader.u32();
    const entryCount = reader.u32();
    const rawLength = reader.u32();
    const storedLength = reader.u32();
    reader.skip(HEADER_LENGTH_BYTES - reader.offset);
    if (part >= parts) throw new FormatError("malformed", `log segment part ${part} of ${parts}`);
    const shipped = decodeRanges(reader, rangeCount);
    const stored = reader.bytes(storedLength);
    reader.expectEnd();
    const entries = decodeBody(stored, codec, rawLength, entryCount);
    return { epoch, seq, part, parts, shipped, entries };
  });
}

/**
 * {@link encodeSegmentPart}, then decodes and compares: what is put into a volume has been read back once.
 *
 * @throws InvariantError when it differs: the bytes must not be put anywhere.
 */
export function encodeVerifiedSegmentPart(segment: SegmentPart): Buffer {
  const bytes = encodeSegmentPart(segment);
  const { entries, ...header } = segment;
  const { entries: decodedEntries, ...decodedHeader } = decodeSegmentPart(bytes);
  const same =
    isDeepStrictEqual(decodedHeader, header) &&
    decodedEntries.length === entries.length &&
    decodedEntries.every((decoded, index) => {
      const entry = entries[index];
      return entry !== undefined && sameEntry(decoded, entry);
    });
  assert(same, `log segment ${segment.seq} part ${segment.part} does not survive encoding`);
  return bytes;
}

function decodeRanges(reader: ByteReader, count: number): OpRange[] {
  const ranges: OpRange[] = [];
  let after = -1;
  for (let index = 0; index < count; index++) {
    const first = reader.u64() as OpSeq;
    const last = reader.u64() as OpSeq;
    if (first <= after || last < first) throw new FormatError("malformed", "log segment with disordered operations");
    ranges.push({ first, last });
    after = last;
  }
  return ranges;
}

function decodeBody(stored: Uint8Array, codec: Codec, rawLength: number, entryCount: number): LogEntry[] {
  if (rawLength > RAW_LENGTH_BYTES_MAX || (codec === Codec.plain && stored.length !== rawLength)) {
    throw new FormatError("malformed", `log segment body of ${stored.length} bytes for ${rawLength}`);
  }
  // A copy, so that entries do not keep or change with the caller's bytes.
  const reader = new ByteReader(codec === Codec.plain ? Buffer.from(stored) : decompress(stored, rawLength));
  const entries = decodeEntries(reader, entryCount);
  reader.expectEnd();
  expectSorted(entries);
  return entries;
}

function expectSorted(entries: readonly LogEntry[]): void {
  let previous: Buffer = Buffer.alloc(0);
  for (const entry of entries) {
    const key = asBuffer(keyOfEntry(entry));
    if (!isSharedKey(key)) throw new FormatError("malformed", "log segment with a key of a cache directory");
    if (previous.compare(key) >= 0) throw new FormatError("malformed", "log segment whose entries are not sorted");
    previous = key;
  }
}
