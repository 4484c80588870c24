import type { Clock, Ino } from "../base/index.js";
import { DirtyFile, NOBODY, type Waiter } from "./dirty-file.js";
import { DirtyQueues, retryDelayMs } from "./dirty-queues.js";
import { DirtyTally, type DirtyTotals } from "./dirty-tally.js";
import { type SizeClass, UploadGroup } from "./upload-group.js";

/** What the cache has recorded of a dirty file. */
export interface DirtyRecord {
  readonly sizeBytes: number;
  /** Ms since 1970. */
  readonly dirtySinceMs: number;
}

/**
 * Which dirty files are due for upload. It knows no bytes and starts nothing: the publisher takes what is due and says how
 * it went. Times are monotonic milliseconds, but for `dirtySinceMs`.
 *
 * Invariant: `waiting` of a file is only ever settled by an upload that began after the wait did.
 */
export class DirtyFiles {
  readonly #clock: Clock;
  readonly #sizeOfOpen: (ino: Ino) => number;
  /** In the order in which they were closed. */
  readonly #files = new Map<Ino, DirtyFile>();
  readonly #queues: DirtyQueues;
  readonly #tally: DirtyTally;

  /** @param sizeOfOpen size in bytes of a file that is open for writing, as of now */
  constructor(clock: Clock, sizeOfOpen: (ino: Ino) => number) {
    this.#clock = clock;
    this.#sizeOfOpen = sizeOfOpen;
    this.#queues = new DirtyQueues(clock, sizeOfOpen);
    this.#tally = new DirtyTally(sizeOfOpen);
  }

  get size(): number {
    return this.#files.size;
  }

  /** In the order in which they were closed. */
  inodes(): Iterable<Ino> {
    return this.#files.keys();
  }

  has(ino: Ino): boolean {
    return this.#files.has(ino);
  }

  isClosed(ino: Ino): boolean {
    return this.#files.get(ino)?.isOpen === false;
  }

  /** Whether its last upload failed: it should not take others down with it again. */
  hasFailed(ino: Ino): boolean {
    return (this.#files.get(ino)?.failures ?? 0) > 0;
  }

  sizeOf(ino: Ino): number {
    const file = this.#files.get(ino);
    if (file === undefined) return 0;
    return file.isOpen ? this.#sizeOfOpen(ino) : file.bytes;
  }

  /** What of these files the volume does not have. */
  totals(): DirtyTotals {
    return this.#tally.totals();
  }

  /** Whether anybody waits for an upload that has not begun. */
  get urgent(): boolean {
    return this.#queues.hasUrgent;
  }

  /** Whether so much is closed that some of it is due at once. */
  get hasGathered(): boolean {
    return this.#queues.hasGathered;
  }

  opened(ino: Ino): void {
    const file = this.#files.get(ino) ?? this.#add(ino);
    if (file.isOpen) return;
    const dirtySinceMs = file.dirtySinceMs ?? this.#clock.nowMs();
    this.#change(file, { isOpen: true, sinceMs: this.#clock.monotonicMs(), dirtySinceMs });
  }

  /** @param record undefined when it turned out that nothing was written, or the file is gone */
  closed(ino: Ino, record: DirtyRecord | undefined): void {
    const file = this.#files.get(ino) ?? this.#add(ino);
    this.#queues.noteClose();
    if (file.isOpen) {
      this.#files.delete(ino);
      this.#files.set(ino, file);
    }
    const sinceMs = file.isOpen ? this.#clock.monotonicMs() : file.sinceMs;
    const { sizeBytes: bytes = 0, dirtySinceMs } = record ?? {};
    this.#change(file, { isOpen: false, sinceMs, bytes, dirtySinceMs });
  }

  /** Makes the file due at once. The waiter is told by an upload that begins from now on; by nobody when it is not dirty. */
  urge(ino: Ino, waiter: Waiter): void {
    const file = this.#files.get(ino);
    if (file === undefined) return;
    file.waiting = [...file.waiting, waiter];
    file.isUrged = true;
    if (!file.isUploading) this.#queues.urge(file);
  }

  /** Takes files to upload together now, in order, and counts them as uploading. None when none is due. */
  take(which: "urgent" | "due", size: SizeClass): readonly Ino[] {
    const group = new UploadGroup();
    for (const file of this.#queues.candidates(which, size)) {
      if (group.offer(file)) this.#begin(file);
      if (group.isFull) break;
    }
    return group.inodes;
  }

  /**
   * An upload of this file is recorded (or there was nothing to upload).
   * @param record when it is still dirty: it was written meanwhile
   * @returns those who waited for it, to be told
   */
  finished(ino: Ino, record: DirtyRecord | undefined): readonly Waiter[] {
    const file = this.#files.get(ino);
    if (file === undefined) return NOBODY;
    const { served } = file;
    const sinceMs = file.isOpen ? this.#clock.monotonicMs() : file.sinceMs;
    const state = { isUploading: false, served: NOBODY, failures: 0, sinceMs, dirtySinceMs: record?.dirtySinceMs };
    if (record !== undefined || file.waiting.length > 0) this.#change(file, state);
    else {
      this.#files.delete(ino);
      this.#tally.remove(file);
    }
    return served;
  }

  /** The upload failed and will be tried again later. Those who wait hear of it only when waiting does not help. */
  failed(ino: Ino, error: unknown, giveUp: boolean): void {
    const file = this.#files.get(ino);
    if (file === undefined) return;
    const { served } = file;
    const failures = file.failures + 1;
    const retryAtMs = this.#clock.monotonicMs() + retryDelayMs(failures);
    const waiting = giveUp ? file.waiting : [...served, ...file.waiting];
    this.#change(file, { isUploading: false, served: NOBODY, waiting, failures, retryAtMs });
    if (giveUp) for (const waiter of served) waiter.reject(error);
  }

  /** Nobody waits any more. */
  rejectAll(error: unknown): void {
    for (const file of this.#files.values()) {
      for (const waiter of [...file.served, ...file.waiting]) waiter.reject(error);
      file.served = NOBODY;
      file.waiting = NOBODY;
    }
  }

  /** It was removed: nothing of it is left to upload. It goes when its turn comes. */
  removed(ino: Ino): void {
    const file = this.#files.get(ino);
    if (file !== undefined) this.#change(file, { dirtySinceMs: undefined });
  }

  #add(ino: Ino): DirtyFile {
    const file = new DirtyFile(ino, this.#clock.monotonicMs());
    this.#files.set(ino, file);
    return file;
  }

  #begin(file: DirtyFile): void {
    this.#queues.remove(file);
    file.isUploading = true;
    file.isUrged = false;
    file.served = file.waiting;
    file.waiting = NOBODY;
  }

  /** Queues and tally go by what is so: they hear of it before and after. */
  #change(file: DirtyFile, change: Partial<DirtyFile>): void {
    this.#queues.leave(file);
    this.#tally.leave(file);
    Object.assign(file, change);
    this.#tally.enter(file);
    this.#queues.enter(file);
  }
}
