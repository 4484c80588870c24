import { hashOf } from "../../format/index.js";
import { FRAME_HEADER_LENGTH_BYTES, type JournalRecord, Kind, RECORD_HEADER_LENGTH_BYTES } from "./journal-frame.js";

/** Of a frame, unless one record alone is larger. To hash one takes 10 µs; to read what is pending into one, 1 to 3 ms. */
export const FRAME_SIZE_BYTES_MAX = 64 << 10;
const NOTHING = Buffer.alloc(0);

/**
 * Encodes each record as it comes, into the frame it will be written with. A busy second has 20,000 of them: kept as
 * objects until they are written, they outlive V8's young generation, and with them the memory their bytes were cut from.
 *
 * Invariant: #bytes has room for a header, then whole records up to #end.
 */
export class FrameBuilder {
  #bytes = Buffer.allocUnsafe(FRAME_SIZE_BYTES_MAX);
  #end = FRAME_HEADER_LENGTH_BYTES;

  /** Adds a copy of `record`. @returns the sealed frame of those before it, when it did not fit into that one */
  add(record: JournalRecord): Buffer | undefined {
    return this.addEncoded(Kind[record.kind], numberOf(record), contentOf(record));
  }

  /** {@link add} of a record in its parts: for the most frequent ones, which no object is made of then. */
  addEncoded(kind: number, number: number, content: Uint8Array): Buffer | undefined {
    const length = RECORD_HEADER_LENGTH_BYTES + content.length;
    const sealed = this.#end + length > this.#bytes.length ? this.seal() : undefined;
    if (this.#end + length > this.#bytes.length) this.#bytes = Buffer.allocUnsafe(this.#end + length);
    const bytes = this.#bytes;
    bytes.writeUInt8(kind, this.#end);
    bytes.writeDoubleLE(number, this.#end + 1);
    bytes.writeUInt32LE(content.length, this.#end + 9);
    bytes.set(content, this.#end + RECORD_HEADER_LENGTH_BYTES);
    this.#end += length;
    return sealed;
  }

  /** The frame of all records since the last one, in memory of its own; undefined when there are none. */
  seal(): Buffer | undefined {
    if (this.#end === FRAME_HEADER_LENGTH_BYTES) return undefined;
    const frame = this.#take();
    frame.writeUInt32LE(frame.length - FRAME_HEADER_LENGTH_BYTES, 0);
    frame.set(hashOf(frame.subarray(FRAME_HEADER_LENGTH_BYTES)), 4);
    return frame;
  }

  /** Ends the frame. What fills its memory takes that along; a few records would keep a lot of it. */
  #take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#end);
    this.#end = FRAME_HEADER_LENGTH_BYTES;
    if (bytes.length <= FRAME_SIZE_BYTES_MAX / 2) return Buffer.from(bytes);
    this.#bytes = Buffer.allocUnsafe(FRAME_SIZE_BYTES_MAX);
    return bytes;
  }
}

/** All of `records`, in frames, each made when it is asked for. */
export function* framesOf(records: Iterable<JournalRecord>): Generator<Buffer, void> {
  const builder = new FrameBuilder();
  for (const record of records) {
    const frame = builder.add(record);
    if (frame !== undefined) yield frame;
  }
  const last = builder.seal();
  if (last !== undefined) yield last;
}

/** The number in a record's header. */
function numberOf(record: JournalRecord): number {
  switch (record.kind) {
    case "operation":
      return record.seq;
    case "dirty":
    case "clean":
      return record.ino;
    case "shipped":
      return record.seqs.length;
    case "base":
      return 0;
  }
}

/** What follows a record's header. */
function contentOf(record: JournalRecord): Uint8Array {
  switch (record.kind) {
    case "operation":
    case "dirty":
      return record.bytes;
    case "clean":
      return NOTHING;
    case "shipped": {
      const bytes = Buffer.allocUnsafe(record.seqs.length * 8);
      let at = 0;
      for (const seq of record.seqs) at = bytes.writeDoubleLE(seq, at);
      return bytes;
    }
    case "base":
      return Buffer.from(JSON.stringify(record.base), "utf8");
  }
}
