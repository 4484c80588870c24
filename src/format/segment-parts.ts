import type { Epoch, SegmentSeq } from "../base/index.js";
import { FormatError } from "./format-error.js";
import type { LogEntry } from "./records.js";
import type { OpRange, SegmentPart } from "./segment.js";
import { keyOfEntry } from "./touch.js";

/** A segment as a whole: what one publishing round ships. */
export interface Segment {
  readonly epoch: Epoch;
  readonly seq: SegmentSeq;
  readonly shipped: readonly OpRange[];
  /** Sorted by key, one per key: {@link coalesce}. */
  readonly entries: readonly LogEntry[];
}

/** Bytes of keys and values in one part: some tens of thousands of records, decoded in one go. */
export const SEGMENT_PART_RAW_BYTES_MAX = 8 << 20;

/**
 * Cuts a segment into parts. Parts 1, 2, … are put first and part 0 last: the segment is there when its part 0 is.
 */
export function splitSegment(segment: Segment, rawBytesMax = SEGMENT_PART_RAW_BYTES_MAX): SegmentPart[] {
  const slices: LogEntry[][] = [[]];
  let sizeBytes = 0;
  for (const entry of segment.entries) {
    const entryBytes = rawLengthOf(entry);
    if (sizeBytes > 0 && sizeBytes + entryBytes > rawBytesMax) {
      slices.push([]);
      sizeBytes = 0;
    }
    slices.at(-1)?.push(entry);
    sizeBytes += entryBytes;
  }
  const { epoch, seq, shipped } = segment;
  return slices.map((entries, part) => ({ epoch, seq, shipped, part, parts: slices.length, entries }));
}

/**
 * The segment whose parts these are, in any order.
 *
 * @throws FormatError truncated when one is missing, malformed when they are not of one segment.
 */
export function joinSegmentParts(parts: readonly SegmentPart[]): Segment {
  const sorted = [...parts].sort((a, b) => a.part - b.part);
  const first = sorted[0];
  if (first === undefined) throw new FormatError("truncated", "a log segment has no parts");
  const { epoch, seq, shipped } = first;
  if (sorted.length < first.parts) {
    throw new FormatError("truncated", `log segment ${seq} has ${sorted.length} of its ${first.parts} parts`);
  }
  sorted.forEach((part, index) => {
    if (part.epoch === epoch && part.seq === seq && part.parts === sorted.length && part.part === index) return;
    throw new FormatError(
      "malformed",
      `part ${part.part} of ${part.parts} of log segment ${part.epoch}/${part.seq} is not of segment ${epoch}/${seq}`,
    );
  });
  return { epoch, seq, shipped, entries: sorted.flatMap((part) => part.entries) };
}

function rawLengthOf(entry: LogEntry): number {
  return keyOfEntry(entry).length + (entry.op === "put" ? entry.value.length : 0) + 32;
}
