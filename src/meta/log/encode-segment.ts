import type { Epoch, OpSeq, SegmentSeq } from "../../base/index.js";
import { coalesce, encodeVerifiedSegmentPart, type LogEntry, type OpRange, splitSegment } from "../../format/index.js";
import { decodeOperation } from "../operation.js";

/** Plain data, in few large pieces: cloning a hundred thousand small ones for a worker would stall the event loop. */
export interface SegmentInput {
  readonly epoch: Epoch;
  readonly seq: SegmentSeq;
  /** Numbers of the operations, ascending. */
  readonly operations: readonly OpSeq[];
  /** The encoded operations, one behind the other… */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** …and where each ends. */
  readonly ends: readonly number[];
}

/** Uncompressed bytes per part: about 20 ms to decode, for followers that do it on their event loop. */
const PART_BYTES_MAX = 2 << 20;

/** The objects of one segment, part 0 first: one value per key, checked by decoding. */
export function encodeSegment({ epoch, seq, operations, bytes, ends }: SegmentInput): readonly Uint8Array[] {
  const entries: LogEntry[] = [];
  let start = 0;
  for (const [index, opSeq] of operations.entries()) {
    const end = ends[index] ?? start;
    for (const entry of decodeOperation(opSeq, bytes.subarray(start, end)).entries) entries.push(entry);
    start = end;
  }
  const segment = { epoch, seq, shipped: rangesOf(operations), entries: coalesce(entries) };
  return splitSegment(segment, PART_BYTES_MAX).map(encodeVerifiedSegmentPart);
}

/** Ascending numbers as ranges of consecutive ones. */
export function rangesOf(seqs: readonly OpSeq[]): readonly OpRange[] {
  const ranges: { first: OpSeq; last: OpSeq }[] = [];
  for (const seq of seqs) {
    const current = ranges.at(-1);
    if (current !== undefined && seq === current.last + 1) current.last = seq;
    else ranges.push({ first: seq, last: seq });
  }
  return ranges;
}
