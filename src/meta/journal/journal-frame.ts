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

const Kind = { operation: 1, dirty: 2, clean: 3, shipped: 4, base: 5 } as const;
const HASH_LENGTH_BYTES = 32;
const FRAME_HEADER_LENGTH_BYTES = 4 + HASH_LENGTH_BYTES;
const RECORD_HEADER_LENGTH_BYTES = 1 + 8 + 4;

export function encodeFrame(records: readonly JournalRecord[]): Buffer {
  const pieces: Buffer[] = [];
  for (const record of records) pieces.push(...encodeRecord(record));
  const body = Buffer.concat(pieces);
  const header = Buffer.allocUnsafe(FRAME_HEADER_LENGTH_BYTES);
  header.writeUInt32LE(body.length, 0);
  header.set(hashOf(body), 4);
  return Buffer.concat([header, body]);
}

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

/** One header per record: kind, a number, the length of what follows. */
function encodeRecord(record: JournalRecord): readonly Buffer[] {
  switch (record.kind) {
    case "operation":
      return [recordHeader(Kind.operation, record.seq, record.bytes.length), asBuffer(record.bytes)];
    case "dirty":
      return [recordHeader(Kind.dirty, record.ino, record.bytes.length), asBuffer(record.bytes)];
    case "clean":
      return [recordHeader(Kind.clean, record.ino, 0)];
    case "shipped": {
      const bytes = Buffer.allocUnsafe(record.seqs.length * 8);
      for (const [index, seq] of record.seqs.entries()) bytes.writeDoubleLE(seq, index * 8);
      return [recordHeader(Kind.shipped, record.seqs.length, bytes.length), bytes];
    }
    case "base": {
      const bytes = Buffer.from(JSON.stringify(record.base), "utf8");
      return [recordHeader(Kind.base, 0, bytes.length), bytes];
    }
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

function recordHeader(kind: number, number: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(RECORD_HEADER_LENGTH_BYTES);
  header.writeUInt8(kind, 0);
  header.writeDoubleLE(number, 1);
  header.writeUInt32LE(length, 9);
  return header;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
