import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { MetaError } from "../meta-error.js";

/** The first `length` bytes of an open file, shared with it; a negative errno where that cannot be. */
export type MapFile = (fd: number, length: number) => Buffer | number;

/** One change of one record; `value` is undefined when it was deleted. */
export type RedoRecord = readonly [key: Uint8Array, value: Uint8Array | undefined];

/** Which transactions a frame belongs to: those of one batch of one store. */
export interface BatchId {
  /** 8 random bytes: of another store's log nothing is ever replayed. */
  readonly store: Uint8Array;
  readonly batch: number;
}

const STORE_ID_LENGTH_BYTES = 8;
const HEADER_LENGTH_BYTES = 4 + 4 + 8 + STORE_ID_LENGTH_BYTES;
const RECORD_HEADER_LENGTH_BYTES = 2 + 4;
const NO_VALUE = 0xffff_ffff;
const CAPACITY_BYTES = 1 << 20;

/**
 * The changes of the transactions of one batch, in a file of this machine: what brings them back when the process is
 * killed before the batch is committed. In the page cache only, which survives the process and not the machine: what is stored in
 * the mapped file is there at once; where the file cannot be mapped, write(2) brings it there.
 *
 * A frame is `u32 CRC-32 of the rest, u32 length of the records, f64 batch, 8 bytes store id, records`; a record is
 * `u16 key length, u32 value length or 2^32-1, key, value`. All in the machine's own byte order. Each batch begins at the
 * start of the file again; the first frame that is not whole or not of the batch ends it.
 *
 * Invariant: the file and #bytes are equal from 0 to #end. Of a frame that a kill cuts off, any part may be in the file: its CRC is
 * stored last, and does not match what is not whole.
 */
export class RedoLog {
  readonly #path: string;
  readonly #fd: number;
  readonly #bytes: Buffer;
  readonly #isMapped: boolean;
  #end = 0;
  // The frame being written is [#end, #next).
  #next = HEADER_LENGTH_BYTES;
  #records = 0;
  #overflowed = false;

  /** Opens or creates; what the file holds is left for {@link readBack}. */
  constructor(path: string, mapFile?: MapFile) {
    this.#path = path;
    this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const mapped = mapFile?.(this.#fd, CAPACITY_BYTES);
    this.#isMapped = typeof mapped === "object";
    this.#bytes = typeof mapped === "object" ? mapped : Buffer.allocUnsafe(CAPACITY_BYTES);
  }

  /** Bytes of the batch so far. */
  get sizeBytes(): number {
    return this.#end;
  }

  /** Starts a new batch: the last one is committed. */
  reset(): void {
    this.#end = 0;
    this.beginFrame();
  }

  /** Forgets the frame that was being written. */
  beginFrame(): void {
    this.#next = this.#end + HEADER_LENGTH_BYTES;
    this.#records = 0;
    this.#overflowed = false;
  }

  get frameRecords(): number {
    return this.#records;
  }

  /** The frame does not fit: it cannot be written. */
  get frameOverflowed(): boolean {
    return this.#overflowed;
  }

  add(key: Uint8Array, value: Uint8Array | undefined): void {
    this.#records++;
    const length = RECORD_HEADER_LENGTH_BYTES + key.length + (value?.length ?? 0);
    if (this.#overflowed || this.#next + length > CAPACITY_BYTES) {
      this.#overflowed = true;
      return;
    }
    const bytes = this.#bytes;
    let at = bytes.writeUInt16LE(key.length, this.#next);
    at = bytes.writeUInt32LE(value?.length ?? NO_VALUE, at);
    bytes.set(key, at);
    if (value !== undefined) bytes.set(value, at + key.length);
    this.#next += length;
  }

  /** Ends the frame: when this returns, it survives the process. @throws MetaError no-space, with the frame as it was */
  writeFrame({ store, batch }: BatchId): void {
    const bytes = this.#bytes;
    const start = this.#end;
    bytes.writeUInt32LE(this.#next - start - HEADER_LENGTH_BYTES, start + 4);
    bytes.writeDoubleLE(batch, start + 8);
    bytes.set(store, start + 16);
    bytes.writeUInt32LE(crc32(bytes.subarray(start + 4, this.#next)), start);
    if (!this.#isMapped) this.#write(start, this.#next);
    this.#end = this.#next;
    this.beginFrame();
  }

  /** What the batch has changed so far, in order. Bytes are views. */
  records(): Iterable<RedoRecord> {
    return recordsIn(this.#bytes, 0, this.#end);
  }

  /** What a batch of an earlier process had changed, in order; nothing when the file is not of that batch. */
  readBack(id: BatchId): readonly RedoRecord[] {
    const file = Buffer.alloc(CAPACITY_BYTES);
    const length = readSync(this.#fd, file, 0, CAPACITY_BYTES, 0);
    let end = 0;
    for (let next = frameEnd(file, 0, length, id); next !== undefined; next = frameEnd(file, next, length, id))
      end = next;
    return [...recordsIn(file, 0, end)];
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(start: number, end: number): void {
    try {
      for (let at = start; at < end; ) at += writeSync(this.#fd, this.#bytes, at, end - at, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
      throw new MetaError("no-space", `no room left on the disk of ${this.#path}`, { cause: error, retryable: true });
    }
  }
}

/** Where the frame at `start` ends; undefined when it is not whole, or of another batch. */
function frameEnd(file: Buffer, start: number, length: number, { store, batch }: BatchId): number | undefined {
  if (start + HEADER_LENGTH_BYTES > length) return undefined;
  const end = start + HEADER_LENGTH_BYTES + file.readUInt32LE(start + 4);
  if (end > length || file.readDoubleLE(start + 8) !== batch) return undefined;
  if (!file.subarray(start + 16, start + HEADER_LENGTH_BYTES).equals(store)) return undefined;
  return crc32(file.subarray(start + 4, end)) === file.readUInt32LE(start) ? end : undefined;
}

function* recordsIn(file: Buffer, start: number, end: number): Generator<RedoRecord, void> {
  for (let frame = start; frame < end; ) {
    const frameEnd = frame + HEADER_LENGTH_BYTES + file.readUInt32LE(frame + 4);
    let at = frame + HEADER_LENGTH_BYTES;
    while (at < frameEnd) {
      const key = at + RECORD_HEADER_LENGTH_BYTES;
      const value = key + file.readUInt16LE(at);
      const valueLength = file.readUInt32LE(at + 2);
      const isDeleted = valueLength === NO_VALUE;
      at = isDeleted ? value : value + valueLength;
      yield [file.subarray(key, value), isDeleted ? undefined : file.subarray(value, at)];
    }
    frame = frameEnd;
  }
}
