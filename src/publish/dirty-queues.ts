import type { Clock, Ino } from "../base/index.js";
import type { DirtyFile } from "./dirty-file.js";
import { FILES_PER_GROUP, type SizeClass, sizeClassOf } from "./upload-group.js";

/** A file is uploaded when nothing was closed for this long … */
const QUIET_MS = 300;
/** … or it has waited this long, or this much has gathered: so that a burst of small files shares packs. */
const WAIT_MS_MAX = 5_000;
const GATHERED_BYTES_MAX = 15 << 20;
/** How often a file that stays open for writing is published. */
const OPEN_INTERVAL_MS = 30_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 30_000;

type SizedQueue = Readonly<Record<SizeClass, Set<DirtyFile>>>;

/**
 * Where dirty files wait for their upload. Each queue is in the order in which its files become due, so that choosing a
 * few among a hundred thousand looks at few.
 *
 * Invariant: a file that is not being uploaded is in one of #closed, #open, #failed and #overdue, and in #urgent as well
 * when it is urged; one that is being uploaded is in none.
 */
export class DirtyQueues {
  readonly #clock: Clock;
  readonly #sizeOfOpen: (ino: Ino) => number;
  /** In the order in which they were closed: neighbours in time become neighbours in a pack. */
  readonly #closed = sizedQueue();
  #closedBytes = 0;
  #lastClosedMs = Number.NEGATIVE_INFINITY;
  /** In the order in which they were opened, or last published. */
  readonly #open = new Set<DirtyFile>();
  /** By how long they are put off: so each is in the order of the next attempts. */
  readonly #failed = new Map<number, Set<DirtyFile>>();
  /** Open or failed files whose time has come. */
  readonly #overdue = sizedQueue();
  /** In the order in which somebody came to wait for them. */
  readonly #urgent = sizedQueue();

  constructor(clock: Clock, sizeOfOpen: (ino: Ino) => number) {
    this.#clock = clock;
    this.#sizeOfOpen = sizeOfOpen;
  }

  get hasUrgent(): boolean {
    return this.#urgent.small.size + this.#urgent.large.size > 0;
  }

  /** Whether enough has gathered not to wait for quiet. */
  get hasGathered(): boolean {
    return this.#closedBytes >= GATHERED_BYTES_MAX;
  }

  /** A file was closed just now: it is not quiet any more. */
  noteClose(): void {
    this.#lastClosedMs = this.#clock.monotonicMs();
  }

  /** Behind the others, as the file is now. */
  enter(file: DirtyFile): void {
    if (file.isUploading) return;
    if (file.isUrged) this.urge(file);
    if (file.failures > 0) this.#failedQueue(file).add(file);
    else if (file.isOpen) this.#open.add(file);
    else {
      this.#closed[sizeClassOf(file.bytes)].add(file);
      this.#closedBytes += file.bytes;
    }
  }

  /** To be called before anything of the file changes. {@link enter} follows. Who is urged keeps that place. */
  leave(file: DirtyFile): void {
    if (file.isUploading) return;
    if (file.failures > 0) this.#failedQueue(file).delete(file) || remove(this.#overdue, file);
    else if (file.isOpen) this.#open.delete(file) || remove(this.#overdue, file);
    else if (remove(this.#closed, file)) this.#closedBytes -= file.bytes;
  }

  /** Somebody waits for it, and it is not being uploaded. */
  urge(file: DirtyFile): void {
    const { small, large } = this.#urgent;
    if (!small.has(file) && !large.has(file)) this.#urgent[this.#sizeClass(file)].add(file);
  }

  /** It is being uploaded, or forgotten. */
  remove(file: DirtyFile): void {
    this.leave(file);
    remove(this.#urgent, file);
  }

  /**
   * Files to upload now, in order. They may leave the queues while this goes on.
   * @param which those somebody waits for, or those whose time has come
   */
  *candidates(which: "urgent" | "due", size: SizeClass): Iterable<DirtyFile> {
    if (which === "urgent") {
      yield* this.#ofSize(this.#urgent, size);
      return;
    }
    this.#findOverdue();
    yield* this.#ofSize(this.#overdue, size);
    if (this.#isRipe()) yield* this.#closed[size];
  }

  /** What was written since may have moved a file to the other size. */
  *#ofSize(queue: SizedQueue, size: SizeClass): Iterable<DirtyFile> {
    for (const file of queue[size]) {
      const sizeNow = this.#sizeClass(file);
      if (sizeNow === size) yield file;
      else {
        queue[size].delete(file);
        queue[sizeNow].add(file);
      }
    }
  }

  #findOverdue(): void {
    const now = this.#clock.monotonicMs();
    this.#moveOverdue(this.#open, ({ sinceMs }) => now - sinceMs >= OPEN_INTERVAL_MS);
    for (const queue of this.#failed.values()) this.#moveOverdue(queue, ({ retryAtMs }) => now >= retryAtMs);
  }

  /** No more than an upload takes: asking ten thousand open files for their sizes would be a stall. */
  #moveOverdue(queue: Set<DirtyFile>, isOverdue: (file: DirtyFile) => boolean): void {
    let count = 0;
    for (const file of queue) {
      if (!isOverdue(file) || count++ >= FILES_PER_GROUP) return;
      queue.delete(file);
      this.#overdue[this.#sizeClass(file)].add(file);
    }
  }

  /** Whether closed files have waited long enough. */
  #isRipe(): boolean {
    const now = this.#clock.monotonicMs();
    if (now - this.#lastClosedMs >= QUIET_MS || this.hasGathered) return true;
    const { small, large } = this.#closed;
    return [first(small), first(large)].some((file) => file !== undefined && now - file.sinceMs >= WAIT_MS_MAX);
  }

  #failedQueue({ failures }: DirtyFile): Set<DirtyFile> {
    const delayMs = retryDelayMs(failures);
    const queue = this.#failed.get(delayMs) ?? new Set();
    this.#failed.set(delayMs, queue);
    return queue;
  }

  #sizeClass(file: DirtyFile): SizeClass {
    if (file.isOpen) file.bytes = this.#sizeOfOpen(file.ino);
    return sizeClassOf(file.bytes);
  }
}

function sizedQueue(): SizedQueue {
  return { small: new Set(), large: new Set() };
}

function remove(queue: SizedQueue, file: DirtyFile): boolean {
  return queue.small.delete(file) || queue.large.delete(file);
}

/** How long a file is put off that has failed this often, at least once. */
export function retryDelayMs(failures: number): number {
  return Math.min(RETRY_MS_MIN * 2 ** (failures - 1), RETRY_MS_MAX);
}

function first(queue: Set<DirtyFile>): DirtyFile | undefined {
  for (const file of queue) return file;
  return undefined;
}
