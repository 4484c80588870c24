import { type Clock, Deferred, type Ino } from "../base/index.js";

/** A file is uploaded when nothing was closed for this long … */
const QUIET_MS = 300;
/** … or it has waited this long, or this much has gathered: so that a burst of small files shares packs. */
const WAIT_MS_MAX = 5_000;
const GATHERED_BYTES_MAX = 15 << 20;
/** How often a file that stays open for writing is published. */
const OPEN_INTERVAL_MS = 30_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 30_000;

interface DirtyFile {
  readonly ino: Ino;
  isOpen: boolean;
  /** When it was closed; of an open one, when it was opened or last published. */
  sinceMs: number;
  /** Size when it was closed last. */
  bytes: number;
  /** After a failure: when it is tried again, and for how long that was put off. */
  retryAtMs: number | undefined;
  retryMs: number;
  urgent: boolean;
  uploading: boolean;
  /** Settled by the next upload that begins. */
  waiting: Deferred[];
  /** Settled by the upload under way. */
  served: Deferred[];
}

/**
 * Which dirty files are due for upload. It knows no bytes and starts nothing: the publisher takes what is due and says how
 * it went. Times are monotonic milliseconds.
 *
 * Invariant: `waiting` of a file is only ever settled by an upload that began after the wait did.
 */
export class DirtyFiles {
  readonly #clock: Clock;
  // In the order in which files were closed first: neighbours in time become neighbours in a pack.
  readonly #files = new Map<Ino, DirtyFile>();
  #lastClosedMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#files.size;
  }

  inodes(): Iterable<Ino> {
    return this.#files.keys();
  }

  has(ino: Ino): boolean {
    return this.#files.has(ino);
  }

  isOpen(ino: Ino): boolean {
    return this.#files.get(ino)?.isOpen ?? false;
  }

  /** Whether its last upload failed: it should not take others down with it again. */
  hasFailed(ino: Ino): boolean {
    return this.#files.get(ino)?.retryAtMs !== undefined;
  }

  /** Whether anybody waits for an upload that has not begun. */
  get urgent(): boolean {
    for (const file of this.#files.values()) if (file.urgent && !file.uploading) return true;
    return false;
  }

  opened(ino: Ino): void {
    const file = this.#get(ino);
    if (file.isOpen) return;
    file.isOpen = true;
    file.sinceMs = this.#clock.monotonicMs();
  }

  closed(ino: Ino, bytes: number): void {
    const now = this.#clock.monotonicMs();
    const file = this.#get(ino);
    this.#lastClosedMs = now;
    file.bytes = bytes;
    if (!file.isOpen) return;
    file.isOpen = false;
    file.sinceMs = now;
    this.#files.delete(ino);
    this.#files.set(ino, file);
  }

  /** Resolves when an upload that begins from now on has been recorded. Makes the file due at once. */
  urge(ino: Ino): Promise<void> {
    const file = this.#get(ino);
    const deferred = new Deferred();
    file.urgent = true;
    file.waiting.push(deferred);
    return deferred.promise;
  }

  /**
   * Takes files to upload now, in order, and counts them as uploading. Those that `accept` does not want stay due.
   */
  take(which: "urgent" | "due", accept: (ino: Ino) => boolean): Ino[] {
    const now = this.#clock.monotonicMs();
    const ripe = now - this.#lastClosedMs >= QUIET_MS || this.#hasGathered(now);
    const taken: Ino[] = [];
    for (const file of this.#files.values()) {
      const wanted = which === "urgent" ? file.urgent : isDue(file, now, ripe);
      if (file.uploading || !wanted || !accept(file.ino)) continue;
      file.uploading = true;
      file.urgent = false;
      file.served = file.waiting;
      file.waiting = [];
      taken.push(file.ino);
    }
    return taken;
  }

  /** An upload of this file is recorded (or there was nothing to upload). `dirty`: it was written meanwhile. */
  finished(ino: Ino, dirty: boolean): void {
    const file = this.#files.get(ino);
    if (file === undefined) return;
    for (const deferred of file.served) deferred.resolve();
    this.#settle(file);
    file.retryAtMs = undefined;
    file.retryMs = 0;
    if (!dirty && file.waiting.length === 0) this.#files.delete(ino);
    else if (file.isOpen) file.sinceMs = this.#clock.monotonicMs();
  }

  /** The upload failed and will be tried again later. Those who wait hear of it only when waiting does not help. */
  failed(ino: Ino, error: unknown, giveUp: boolean): void {
    const file = this.#files.get(ino);
    if (file === undefined) return;
    if (giveUp) for (const deferred of file.served) deferred.reject(error);
    else file.waiting.unshift(...file.served);
    this.#settle(file);
    file.retryMs = Math.min(Math.max(file.retryMs * 2, RETRY_MS_MIN), RETRY_MS_MAX);
    file.retryAtMs = this.#clock.monotonicMs() + file.retryMs;
  }

  /** Nobody waits any more. */
  rejectAll(error: unknown): void {
    for (const file of this.#files.values()) {
      for (const deferred of [...file.served, ...file.waiting]) deferred.reject(error);
      file.served = [];
      file.waiting = [];
    }
  }

  #settle(file: DirtyFile): void {
    file.uploading = false;
    file.served = [];
  }

  #get(ino: Ino): DirtyFile {
    let file = this.#files.get(ino);
    if (file === undefined) {
      const sinceMs = this.#clock.monotonicMs();
      file = {
        ino,
        isOpen: true,
        sinceMs,
        bytes: 0,
        retryAtMs: undefined,
        retryMs: 0,
        urgent: false,
        uploading: false,
        waiting: [],
        served: [],
      };
      this.#files.set(ino, file);
    }
    return file;
  }

  #hasGathered(now: number): boolean {
    let bytes = 0;
    for (const file of this.#files.values()) {
      if (file.isOpen || file.uploading || file.retryAtMs !== undefined) continue;
      bytes += file.bytes;
      // The first one is the oldest.
      if (bytes >= GATHERED_BYTES_MAX || now - file.sinceMs >= WAIT_MS_MAX) return true;
    }
    return false;
  }
}

function isDue({ isOpen, sinceMs, retryAtMs }: DirtyFile, now: number, ripe: boolean): boolean {
  if (retryAtMs !== undefined) return now >= retryAtMs;
  return isOpen ? now - sinceMs >= OPEN_INTERVAL_MS : ripe;
}
