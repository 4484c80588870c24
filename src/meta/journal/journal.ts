import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Clock, ignore, type OpSeq, type Timer } from "../../base/index.js";
import { MetaError } from "../meta-error.js";
import type { LocalChange } from "../metadata-writer.js";
import type { OperationJournal } from "../volume-metadata.js";
import { encodeFrame, type JournalBase, type JournalRecord } from "./journal-frame.js";

export interface JournalOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly base: JournalBase;
  /** All operations and dirty files that are pending now, for a new file: read slice by slice, while others are added. */
  readonly pending: () => Iterable<JournalRecord>;
  /** What a failed background write is reported to; the next one tries again. */
  readonly onError: (error: unknown) => void;
}

/** How much a power loss can take of what was not synced. */
const WRITE_DELAY_MS = 500;
const ROTATE_BYTES_MIN = 8 << 20;
const ROTATE_GROWTH = 2;
/** Records in one frame, at most. */
const SLICE_RECORDS = 500;

/**
 * Append-only file with everything the local store has and the volume does not: what is left after a power loss.
 *
 * Invariants: #waiting holds, in order, what the file does not have; writes run one after the other, and the file is
 * valid up to #fileBytes. When the file has grown to twice what it began with, a new one with only what is still
 * pending replaces it by rename.
 */
export class Journal implements OperationJournal {
  readonly #options: JournalOptions;
  #file: FileHandle;
  #fileBytes = 0;
  #rotateAtBytes = ROTATE_BYTES_MIN;
  #waiting: JournalRecord[] = [];
  #timer: Timer | undefined;
  #tail: Promise<void> = Promise.resolve();

  private constructor(options: JournalOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
  }

  /** Begins a new file with what is pending; an old one is replaced when the new one is on disk. */
  static async open(options: JournalOptions): Promise<Journal> {
    const journal = new Journal(options, await openTemporary(options.path));
    await journal.#begin();
    return journal;
  }

  append({ seq, operation, localChanges }: Parameters<OperationJournal["append"]>[0]): void {
    if (operation !== undefined) this.#waiting.push({ kind: "operation", seq, bytes: operation });
    for (const { ino, record } of localChanges) this.#waiting.push(recordOfChange(ino, record));
    this.#schedule();
  }

  shipped(seqs: readonly OpSeq[]): void {
    this.#waiting.push({ kind: "shipped", seqs });
    this.#schedule();
  }

  /** Resolves when everything appended so far is on disk. @throws MetaError no-space */
  sync(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const written = this.#tail.then(() => this.#write());
    this.#tail = written.catch(ignore);
    return written;
  }

  async close(): Promise<void> {
    await this.sync();
    await this.#file.close();
  }

  #schedule(): void {
    this.#timer ??= this.#options.clock.setTimer(WRITE_DELAY_MS, () => {
      this.sync().catch(this.#options.onError);
    });
  }

  async #write(): Promise<void> {
    const records = this.#waiting;
    if (records.length === 0) return;
    this.#waiting = [];
    let written = 0;
    try {
      // Frame by frame: to encode all that half a busy second leaves would hold up the event loop.
      for (; written < records.length; written += SLICE_RECORDS) {
        await this.#append(records.slice(written, written + SLICE_RECORDS));
      }
      // When this fails, nobody knows what of it is on disk.
      written = 0;
      await this.#file.datasync();
    } catch (error) {
      this.#waiting = [...records.slice(written), ...this.#waiting];
      throw writeError(this.#options.path, error);
    }
    // What was to be written is on disk; a failed rotation is nothing the caller waits for.
    if (this.#fileBytes > this.#rotateAtBytes) await this.#rotate().catch(this.#options.onError);
  }

  async #rotate(): Promise<void> {
    const old = this.#file;
    const oldBytes = this.#fileBytes;
    const file = await openTemporary(this.#options.path);
    this.#file = file;
    this.#fileBytes = 0;
    try {
      await this.#begin();
      await old.close();
    } catch (error) {
      this.#file = old;
      this.#fileBytes = oldBytes;
      this.#rotateAtBytes = oldBytes * ROTATE_GROWTH;
      await file.close();
      throw writeError(this.#options.path, error);
    }
  }

  /** Fills a new file and puts it in the place of the old one. What is appended meanwhile follows in either. */
  async #begin(): Promise<void> {
    const { base, pending, path } = this.#options;
    let slice: JournalRecord[] = [{ kind: "base", base }];
    for (const record of pending()) {
      slice.push(record);
      if (slice.length < SLICE_RECORDS) continue;
      await this.#append(slice);
      slice = [];
      await nextTurn();
    }
    await this.#append(slice);
    await this.#file.datasync();
    await rename(temporaryPath(path), path);
    await syncFolder(dirname(path));
    this.#rotateAtBytes = Math.max(ROTATE_BYTES_MIN, this.#fileBytes * ROTATE_GROWTH);
  }

  async #append(records: readonly JournalRecord[]): Promise<void> {
    const frame = encodeFrame(records);
    for (let offset = 0; offset < frame.length; ) {
      // At its place, not at the end: a frame that was cut short is written over.
      const position = this.#fileBytes + offset;
      const { bytesWritten } = await this.#file.write(frame, offset, frame.length - offset, position);
      offset += bytesWritten;
    }
    this.#fileBytes += frame.length;
  }
}

function recordOfChange(ino: LocalChange["ino"], record: LocalChange["record"]): JournalRecord {
  return record === undefined ? { kind: "clean", ino } : { kind: "dirty", ino, bytes: record };
}

function temporaryPath(path: string): string {
  return `${path}.new`;
}

function openTemporary(path: string): Promise<FileHandle> {
  return open(temporaryPath(path), "w", 0o600);
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function writeError(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new MetaError("no-space", `no room left on the disk of ${path}`, { cause: error, retryable: true });
}
