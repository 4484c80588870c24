import type { Ino, OpSeq } from "../../base/index.js";
import { hashOf } from "../../format/index.js";

/**
 * Records of the journal. Frames of them are `u32 length, 32 bytes BLAKE3 of the rest, records`; a frame that is
 * not whole ends the journal: it is what was being written when the power went.
 */
export type JournalRecord =
  /** An operation, encoded as in the local store. */
  | { readonly kind: "operation"; readonly seq: OpSeq; readonly bytes: Uint8Array }
  /** The local image of a dirty file, encoded as in the local store. */
  | { readonly kind: "dirty"; readonly ino: Ino; readonly bytes: Uint8Array }
  /** The file is not dirty any more. */
  | { readonly kind: "clean"; readonly ino: Ino }
  /** The volume has these operations. */
  | { readonly kind: "shipped"; readonly seqs: readonly OpSeq[] }
  /** What the operations build on: JSON of {@link JournalBase}. */
  | { readonly kind: "base"; readonly base: JournalBase };

/** The volume's state that the journal was begun on, and whose segments after it are this cache directory's own. */
export interface JournalBase {
  readonly volumeUuid: string;
  readonly segment: number;
  readonly ownEpochs: readonly number[];
}

/** First byte of a record; it goes on with a number (f64) and the length of what follows (u32). */
export const Kind = { operation: 1, dirty: 2, clean: 3, shipped: 4, base: 5 } as const;
const HASH_LENGTH_BYTES = 32;
export const FRAME_HEADER_LENGTH_BYTES = 4 + HASH_LENGTH_BYTES;
export const RECORD_HEADER_LENGTH_BYTES = 1 + 8 + 4;

/** The records of all whole frames, in order. Bytes are views of `journal`. */
export function* decodeFrames(journal: Buffer): Generator<JournalRecord, void> {
  let at = 0;
  while (at + FRAME_HEADER_LENGTH_BYTES <= journal.length) {
    const start = at + FRAME_HEADER_LENGTH_BYTES;
    const end = start + journal.readUInt32LE(at);
    if (end > journal.length) return;
    const body = journal.subarray(start, end);
    if (!hashOf(body).equals(journal.subarray(at + 4, start))) return;
    yield* decodeRecords(body);
    at = end;
  }
}

function* decodeRecords(body: Buffer): Generator<JournalRecord, void> {
  for (let at = 0; at < body.length; ) {
    const kind = body.readUInt8(at);
    const number = body.readDoubleLE(at + 1);
    const start = at + RECORD_HEADER_LENGTH_BYTES;
    const end = start + body.readUInt32LE(at + 9);
    const bytes = body.subarray(start, end);
    if (kind === Kind.operation) yield { kind: "operation", seq: number as OpSeq, bytes };
    else if (kind === Kind.dirty) yield { kind: "dirty", ino: number as Ino, bytes };
    else if (kind === Kind.clean) yield { kind: "clean", ino: number as Ino };
    else if (kind === Kind.shipped) yield { kind: "shipped", seqs: decodeSeqs(bytes) };
    else if (kind === Kind.base) yield { kind: "base", base: JSON.parse(bytes.toString("utf8")) as JournalBase };
    at = end;
  }
}

function decodeSeqs(bytes: Buffer): readonly OpSeq[] {
  return Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readDoubleLE(index * 8) as OpSeq);
}
