import { type Clock, ignore, type OpSeq, type Timer } from "../../base/index.js";
import { MetaError } from "../meta-error.js";
import type { OperationJournal } from "../volume-metadata.js";
import { FrameBuilder, framesOf } from "./frame-builder.js";
import { JournalFile } from "./journal-file.js";
import { type JournalBase, type JournalRecord, Kind } from "./journal-frame.js";

export interface JournalOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly base: JournalBase;
  /** All operations and dirty files that are pending now, for a new file: read frame by frame, while others are added. */
  readonly pending: () => Iterable<JournalRecord>;
  /** What a failed background write is reported to; the next one tries again. */
  readonly onError: (error: unknown) => void;
}

/** How much a power loss can take of what was not synced. */
const WRITE_DELAY_MS = 500;
const ROTATE_BYTES_MIN = 8 << 20;
const ROTATE_GROWTH = 2;
const NOTHING = Buffer.alloc(0);

/**
 * Append-only file with everything the local store has and the volume does not: what is left after a power loss.
 *
 * Invariants: #waiting, then #builder, hold in order what the file does not have; writes run one after the other. When
 * the file has grown to twice what it began with, a new one with only what is still pending replaces it by rename.
 */
export class Journal implements OperationJournal {
  readonly #options: JournalOptions;
  readonly #builder = new FrameBuilder();
  #waiting: Buffer[] = [];
  #file: JournalFile;
  #rotateAtBytes = 0;
  #timer: Timer | undefined;
  #tail: Promise<void> = Promise.resolve();

  private constructor(options: JournalOptions, file: JournalFile) {
    this.#options = options;
    this.#file = file;
    this.#planRotation();
  }

  /** Begins a new file with what is pending; an old one is replaced when the new one is on disk. */
  static async open(options: JournalOptions): Promise<Journal> {
    const file = await beginFile(options);
    await file.sync();
    return new Journal(options, file);
  }

  append({ seq, operation, localChanges }: Parameters<OperationJournal["append"]>[0]): void {
    if (operation !== undefined) this.#enqueue(this.#builder.addEncoded(Kind.operation, seq, operation));
    for (const { ino, record } of localChanges) {
      const kind = record === undefined ? Kind.clean : Kind.dirty;
      this.#enqueue(this.#builder.addEncoded(kind, ino, record ?? NOTHING));
    }
    this.#writeSoon();
  }

  shipped(seqs: readonly OpSeq[]): void {
    this.#enqueue(this.#builder.add({ kind: "shipped", seqs }));
    this.#writeSoon();
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

  #writeSoon(): void {
    this.#timer ??= this.#options.clock.setTimer(WRITE_DELAY_MS, () => {
      this.sync().catch(this.#options.onError);
    });
  }

  #enqueue(frame: Buffer | undefined): void {
    if (frame !== undefined) this.#waiting.push(frame);
  }

  async #write(): Promise<void> {
    this.#enqueue(this.#builder.seal());
    const frames = this.#waiting;
    if (frames.length === 0) return;
    this.#waiting = [];
    try {
      await this.#file.append(frames);
    } catch (error) {
      this.#waiting = [...frames, ...this.#waiting];
      throw writeError(this.#options.path, error);
    }
    // What was to be written is on disk; a failed rotation is nothing the caller waits for.
    if (this.#file.sizeBytes > this.#rotateAtBytes) await this.#rotate().catch(this.#options.onError);
  }

  /** What is appended meanwhile follows in either file. */
  async #rotate(): Promise<void> {
    const old = this.#file;
    try {
      this.#file = await beginFile(this.#options);
      await old.close();
      await this.#file.sync();
    } catch (error) {
      throw writeError(this.#options.path, error);
    } finally {
      this.#planRotation();
    }
  }

  #planRotation(): void {
    this.#rotateAtBytes = Math.max(ROTATE_BYTES_MIN, this.#file.sizeBytes * ROTATE_GROWTH);
  }
}

function beginFile({ path, base, pending }: JournalOptions): Promise<JournalFile> {
  return JournalFile.replace(path, framesOf(withBase(base, pending())));
}

function* withBase(base: JournalBase, pending: Iterable<JournalRecord>): Generator<JournalRecord, void> {
  yield { kind: "base", base };
  yield* pending;
}

function writeError(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new MetaError("no-space", `no room left on the disk of ${path}`, { cause: error, retryable: true });
}
