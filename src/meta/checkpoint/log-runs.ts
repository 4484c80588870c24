import { closeSync, openSync, readSync } from "node:fs";
import { ByteReader } from "../../base/index.js";
import { coalesce, decodeEntries, encodeEntries, keyOfEntry, type LogEntry } from "../../format/index.js";
import { writeAll } from "./write-all.js";

/** An entry takes some 600 bytes of memory while it is collected and sorted. */
const RUN_ENTRIES_MAX = 200_000;
const BLOCK_ENTRIES = 1_000;
const BLOCK_HEADER_LENGTH_BYTES = 8;

/** Where a run lies in the file. */
interface Run {
  readonly start: number;
  readonly end: number;
}

/**
 * Sorts a log that need not fit into memory: sorted runs in a file, merged when they are read (external merge sort). The log
 * of a million new files takes 0.4 GB so, and 2 GB all at once (docs/decisions/0006).
 *
 * A run is blocks of: length and count (u32 each), then so many entries as `format/entries` has them.
 */
export class LogRuns {
  readonly #fd: number;
  readonly #runEntriesMax: number;
  /** Oldest first. */
  readonly #runs: Run[] = [];
  #end = 0;
  #collected: LogEntry[] = [];

  /** @param path of a temporary file, which the caller deletes */
  constructor(path: string, runEntriesMax = RUN_ENTRIES_MAX) {
    this.#fd = openSync(path, "w+", 0o600);
    this.#runEntriesMax = runEntriesMax;
  }

  /** @param entries of the next segment */
  add(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#collected.push(entry);
    if (this.#collected.length >= this.#runEntriesMax) this.#spill();
  }

  /** What all of it adds up to, as {@link coalesce} would have it: sorted by key, one entry per key. @throws FormatError */
  merged(): Iterable<LogEntry> {
    const runs: Iterable<LogEntry>[] = this.#runs.map((run) => this.#read(run));
    return runs.reduceRight((newer, older) => mergeTwo(older, newer), coalesce(this.#collected));
  }

  close(): void {
    closeSync(this.#fd);
  }

  #spill(): void {
    const entries = coalesce(this.#collected);
    this.#collected = [];
    const start = this.#end;
    for (let first = 0; first < entries.length; first += BLOCK_ENTRIES) {
      const block = entries.slice(first, first + BLOCK_ENTRIES);
      const bytes = encodeEntries(block);
      const header = Buffer.alloc(BLOCK_HEADER_LENGTH_BYTES);
      header.writeUInt32LE(bytes.length, 0);
      header.writeUInt32LE(block.length, 4);
      writeAll(this.#fd, header);
      writeAll(this.#fd, bytes);
      this.#end += header.length + bytes.length;
    }
    this.#runs.push({ start, end: this.#end });
  }

  *#read({ start, end }: Run): Generator<LogEntry, void> {
    for (let offset = start; offset < end; ) {
      const header = this.#readAt(offset, BLOCK_HEADER_LENGTH_BYTES);
      const body = this.#readAt(offset + header.length, header.readUInt32LE(0));
      yield* decodeEntries(new ByteReader(body), header.readUInt32LE(4));
      offset += header.length + body.length;
    }
  }

  #readAt(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#fd, bytes, done, length - done, offset + done);
      if (count === 0) throw new Error("a temporary file of a checkpoint has become shorter");
      done += count;
    }
    return bytes;
  }
}

/** Both sorted by key, with one entry per key. */
function* mergeTwo(older: Iterable<LogEntry>, newer: Iterable<LogEntry>): Generator<LogEntry, void> {
  const olders = older[Symbol.iterator]();
  const newers = newer[Symbol.iterator]();
  let a = olders.next();
  let b = newers.next();
  while (a.done !== true && b.done !== true) {
    const order = Buffer.compare(keyOfEntry(a.value), keyOfEntry(b.value));
    if (order < 0) yield a.value;
    else if (order > 0) yield b.value;
    else yield* coalesce([a.value, b.value]);
    if (order <= 0) a = olders.next();
    if (order >= 0) b = newers.next();
  }
  for (; a.done !== true; a = olders.next()) yield a.value;
  for (; b.done !== true; b = newers.next()) yield b.value;
}
