import type { Epoch, OpSeq, SegmentSeq } from "../../base/index.js";
import { coalesce, encodeVerifiedSegmentPart, type OpRange, splitSegment } from "../../format/index.js";
import { decodeOperation } from "../operation.js";

/** Plain data: it crosses to a worker thread when there is much of it. */
export interface SegmentInput {
  readonly epoch: Epoch;
  readonly seq: SegmentSeq;
  /** Encoded operations, in seq order. */
  readonly operations: readonly { readonly seq: OpSeq; readonly bytes: Uint8Array }[];
}

/** Uncompressed bytes per part: about 20 ms to decode, for followers that do it on their event loop. */
const PART_BYTES_MAX = 2 << 20;

/** The objects of one segment, part 0 first: one value per key, checked by decoding. */
export function encodeSegment({ epoch, seq, operations }: SegmentInput): readonly Uint8Array[] {
  const shipped = rangesOf(operations.map((operation) => operation.seq));
  const entries = coalesce(operations.flatMap(({ seq: opSeq, bytes }) => decodeOperation(opSeq, bytes).entries));
  return splitSegment({ epoch, seq, shipped, entries }, PART_BYTES_MAX).map(encodeVerifiedSegmentPart);
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
