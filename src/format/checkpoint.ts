import { assert, type Epoch, type OpSeq, type SegmentSeq } from "../base/index.js";
import { BlockBuilder, blockLength, type KeyValue } from "./checkpoint-block.js";
import { BlockReader } from "./checkpoint-block-reader.js";
import { asBuffer, readU64, writeU64 } from "./fields.js";
import { FormatError } from "./format-error.js";
import {
  CHECKSUM_LENGTH_BYTES,
  expectChecksum,
  expectMagic,
  expectVersion,
  FORMAT_VERSION,
  MAGIC_LENGTH_BYTES,
  Magic,
  truncated,
} from "./framing.js";
import { hashOf, RunningHash } from "./hash.js";

/** What a checkpoint holds: the records of the volume after segment `segmentSeq`. */
export interface CheckpointHeader {
  /** Of the writer that made it. */
  readonly epoch: Epoch;
  readonly segmentSeq: SegmentSeq;
  /** The highest operation in it or in any segment before it. */
  readonly opSeq: OpSeq;
}

const HEADER_LENGTH_BYTES = 40;
const HEADER_TOTAL_LENGTH_BYTES = HEADER_LENGTH_BYTES + CHECKSUM_LENGTH_BYTES;
/** A block's stored length that says: no block, the footer. */
const END_OF_BLOCKS = 0;
const FOOTER_CHECKSUM_OFFSET = 16;
const FOOTER_LENGTH_BYTES = FOOTER_CHECKSUM_OFFSET + CHECKSUM_LENGTH_BYTES + MAGIC_LENGTH_BYTES;

/**
 * Bytes of a checkpoint, piece by piece, in memory that does not grow with it.
 *
 * @param records sorted by key; each is borrowed until the next is taken
 */
export function* encodeCheckpoint(header: CheckpointHeader, records: Iterable<KeyValue>): Generator<Buffer, void> {
  const whole = new RunningHash();
  const piece = encodeHeader(header);
  whole.update(piece);
  yield piece;
  const builder = new BlockBuilder();
  let blockCount = 0;
  let recordCount = 0;
  const finishBlock = (): Buffer => {
    blockCount++;
    recordCount += builder.count;
    const block = builder.finish();
    whole.update(block);
    return block;
  };
  for (const [key, value] of records) {
    builder.add(key, value);
    if (builder.full) yield finishBlock();
  }
  if (builder.count > 0) yield finishBlock();
  yield encodeFooter(whole, blockCount, recordCount);
}

/**
 * Takes a checkpoint in pieces of any size and gives its records block by block.
 *
 * Call {@link push} with each piece, {@link next} until it has no more after each, {@link finish} at the end: only
 * then it is sure that nothing is missing. Take all records of a block before the next one.
 */
export class CheckpointParser {
  // Invariant: #pending is what was pushed and not yet taken, #whole the hash of everything taken.
  #pending: Buffer = Buffer.alloc(0);
  #taken = 0;
  #header: CheckpointHeader | undefined;
  #blocks = 0;
  #records = 0;
  #ended = false;
  #pushedBytes = 0;
  readonly #whole = new RunningHash();
  readonly #reader = new BlockReader();

  /** Known once the first 72 bytes are there and {@link next} was called. */
  get header(): CheckpointHeader | undefined {
    return this.#header;
  }

  /** `piece` is borrowed until {@link next} has returned undefined. */
  push(piece: Uint8Array): void {
    const rest = this.#pending.subarray(this.#taken);
    this.#pending = rest.length === 0 ? asBuffer(piece) : Buffer.concat([rest, piece]);
    this.#taken = 0;
    this.#pushedBytes += piece.length;
  }

  /**
   * The next block, lent until the call after; undefined when more bytes are needed, or none follows.
   *
   * @throws FormatError of every kind.
   */
  next(): BlockReader | undefined {
    assert(this.#reader.left === 0, "a checkpoint's block is left before all its records were taken");
    if (this.#header === undefined) {
      const bytes = this.#peek(HEADER_TOTAL_LENGTH_BYTES);
      if (bytes === undefined) return this.#keepRest();
      this.#header = decodeHeader(bytes);
      this.#take(bytes);
    }
    const length = this.#peek(4)?.readUInt32LE(0);
    if (length === undefined || this.#ended) return this.#keepRest();
    if (length === END_OF_BLOCKS) return this.#takeFooter();
    const block = this.#peek(blockLength(length));
    if (block === undefined) return this.#keepRest();
    this.#reader.begin(block);
    this.#take(block);
    this.#blocks++;
    this.#records += this.#reader.left;
    return this.#reader;
  }

  /** @throws FormatError truncated when the checkpoint is not whole, malformed when more follows it. */
  finish(): CheckpointHeader {
    const left = this.#pending.length - this.#taken;
    if (this.#header === undefined || !this.#ended) throw truncated("checkpoint", this.#pushedBytes);
    if (left > 0) throw new FormatError("malformed", `checkpoint with ${left} bytes behind its end`);
    return this.#header;
  }

  #takeFooter(): undefined {
    const footer = this.#peek(FOOTER_LENGTH_BYTES);
    if (footer === undefined) return this.#keepRest();
    this.#whole.update(footer.subarray(0, FOOTER_CHECKSUM_OFFSET));
    const end = FOOTER_LENGTH_BYTES - MAGIC_LENGTH_BYTES;
    expectMagic("checkpoint footer", footer, end, Magic.checkpointEnd);
    if (!this.#whole.digest().equals(footer.subarray(FOOTER_CHECKSUM_OFFSET, end))) {
      throw new FormatError("bad-checksum", "checkpoint is damaged: its bytes do not match their checksum");
    }
    if (footer.readUInt32LE(4) !== this.#blocks || readU64(footer, 8) !== this.#records) {
      throw new FormatError(
        "malformed",
        `checkpoint with ${this.#records} records in ${this.#blocks} blocks says otherwise`,
      );
    }
    this.#taken += footer.length;
    this.#ended = true;
    return this.#keepRest();
  }

  #peek(length: number): Buffer | undefined {
    const end = this.#taken + length;
    return end <= this.#pending.length ? this.#pending.subarray(this.#taken, end) : undefined;
  }

  #take(bytes: Buffer): void {
    this.#whole.update(bytes);
    this.#taken += bytes.length;
  }

  /** Ends the loan of the pushed piece: copies what is left of it. */
  #keepRest(): undefined {
    this.#pending = Buffer.from(this.#pending.subarray(this.#taken));
    this.#taken = 0;
    return undefined;
  }
}

function encodeHeader({ epoch, segmentSeq, opSeq }: CheckpointHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_TOTAL_LENGTH_BYTES);
  bytes.write(Magic.checkpoint, 0, "latin1");
  bytes.writeUInt16LE(FORMAT_VERSION, 8);
  writeU64(bytes, 16, epoch);
  writeU64(bytes, 24, segmentSeq);
  writeU64(bytes, 32, opSeq);
  bytes.set(hashOf(bytes.subarray(0, HEADER_LENGTH_BYTES)), HEADER_LENGTH_BYTES);
  return bytes;
}

function decodeHeader(bytes: Buffer): CheckpointHeader {
  expectMagic("checkpoint", bytes, 0, Magic.checkpoint);
  expectChecksum("checkpoint header", bytes, 0, HEADER_LENGTH_BYTES);
  expectVersion("checkpoint", bytes.readUInt16LE(8));
  return {
    epoch: readU64(bytes, 16) as Epoch,
    segmentSeq: readU64(bytes, 24) as SegmentSeq,
    opSeq: readU64(bytes, 32) as OpSeq,
  };
}

function encodeFooter(whole: RunningHash, blockCount: number, recordCount: number): Buffer {
  const footer = Buffer.alloc(FOOTER_LENGTH_BYTES);
  footer.writeUInt32LE(END_OF_BLOCKS, 0);
  footer.writeUInt32LE(blockCount, 4);
  writeU64(footer, 8, recordCount);
  footer.set(whole.update(footer.subarray(0, FOOTER_CHECKSUM_OFFSET)).digest(), FOOTER_CHECKSUM_OFFSET);
  footer.write(Magic.checkpointEnd, FOOTER_LENGTH_BYTES - MAGIC_LENGTH_BYTES, "latin1");
  return footer;
}
