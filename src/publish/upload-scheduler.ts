import { type Clock, type Ino, type OpSeq, PodfsError, shareLoop, type Timer } from "../base/index.js";
import type { FileContent } from "../meta/index.js";
import type { Priority } from "../transfer/index.js";
import { DirtyFiles } from "./dirty-files.js";
import { LARGE_PACK_BYTES, SMALL_PACK_BYTES, type UploadFile, type UploadTools, uploadFiles } from "./upload-job.js";

const TICK_MS = 100;
/** Uploads side by side. Large files have lanes of their own, so that a huge one never keeps small ones waiting. */
const LANES = { urgentSmall: 3, urgentLarge: 16, small: 2, large: 2 } as const;
/**
 * The transfer keeps a place free for urgent work. An fsync of many packs must not take it: the fsync of a small file
 * would wait behind it.
 */
const PRIORITIES: Record<Lane, Priority> = {
  urgentSmall: "urgent",
  urgentLarge: "normal",
  small: "background",
  large: "background",
};
type Lane = keyof typeof LANES;
const FILES_PER_GROUP = 1024;
/** A file up to this size shares a pack with others. */
const SHARED_FILE_BYTES_MAX = 4 << 20;

export interface UploadSchedulerEvents {
  /** Content operations were recorded: something can be shipped. */
  onUploaded(urgent: boolean): void;
  onError(error: unknown): void;
  /** The last operation so far. Asked when an upload begins, to know later what its content is newer than. */
  currentSeq(): number;
  /** Whether an operation is pending that makes the file visible. */
  isContentNeeded(ino: Ino): boolean;
  /** A file was removed before its upload ended. Returns whether what makes it visible has this content now. */
  onLateContent(ino: Ino, content: FileContent): boolean;
}

/**
 * Whether an operation may be published that makes a file visible:
 * - `ready`: the volume has, or gets in the same segment, a content of the file as new as the operation.
 * - `with-removal`: the file has been removed before that could be; only together with its removal, or readers would see
 *   it empty.
 * - `waiting`: the file's upload comes first.
 */
export type Readiness = "ready" | "with-removal" | "waiting";

/**
 * Decides when which dirty files are uploaded together: soon after they are closed, every half minute while they are
 * open, at once when somebody waits. One upload runs in one lane.
 */
export class UploadScheduler {
  readonly dirty: DirtyFiles;
  readonly #tools: UploadTools;
  readonly #clock: Clock;
  readonly #events: UploadSchedulerEvents;
  readonly #busy: Record<Lane, number> = { urgentSmall: 0, urgentLarge: 0, small: 0, large: 0 };
  readonly #abort = new AbortController();
  /**
   * Of files that are dirty, and of those that were removed dirty: the last operation whose effect on the file's content is
   * recorded. Nothing is when it is absent.
   */
  readonly #coveredSeq = new Map<Ino, number>();
  /** Files that were removed before their content was recorded, while operations on them are pending. */
  readonly #lost = new Set<Ino>();
  #timer: Timer | undefined;
  #kicked = false;
  #stopReason: { readonly reason: unknown } | undefined;

  constructor(tools: UploadTools, clock: Clock, events: UploadSchedulerEvents) {
    this.#tools = tools;
    this.#clock = clock;
    this.#events = events;
    this.dirty = new DirtyFiles(clock);
  }

  get running(): number {
    const { urgentSmall, urgentLarge, small, large } = this.#busy;
    return urgentSmall + urgentLarge + small + large;
  }

  start(): void {
    for (const [ino] of this.#tools.metadata.dirtyFiles()) this.dirty.closed(ino, this.sizeOf(ino));
    this.#tools.cache.onDirty((ino, event) => {
      // Clean until now: the volume has its content as of now, or gets it from what is pending.
      if (!this.dirty.has(ino)) this.#coveredSeq.set(ino, this.#events.currentSeq());
      if (event === "opened") this.dirty.opened(ino);
      else this.dirty.closed(ino, this.sizeOf(ino));
      this.#arm();
    });
    this.#arm();
  }

  /** No upload begins any more; those under way are given up (their files stay dirty). */
  stop(reason: unknown): void {
    this.#stopReason = { reason };
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#abort.abort(reason);
    this.dirty.rejectAll(reason);
  }

  /**
   * Resolves when the file's bytes as of now are in the backend and recorded.
   * @throws the reason of {@link stop}; TransferError when trying again does not help
   */
  async upload(ino: Ino): Promise<void> {
    if (!this.dirty.has(ino)) return;
    if (this.#stopReason !== undefined) throw this.#stopReason.reason;
    const done = this.dirty.urge(ino);
    this.#kick();
    await done;
  }

  /** An operation that is ready stays so. */
  readiness(ino: Ino, seq: OpSeq): Readiness {
    if (!this.dirty.has(ino) && !this.#lost.has(ino)) return "ready";
    if ((this.#coveredSeq.get(ino) ?? -1) >= seq) return "ready";
    return this.#tools.metadata.inode(ino) === undefined ? "with-removal" : "waiting";
  }

  /** A file that an earlier mount removed: whether its content was recorded nobody knows. */
  assumeLost(ino: Ino): void {
    this.#lost.add(ino);
  }

  /** An operation on this file was shipped: when none is left, nobody will ask for its readiness any more. */
  forget(ino: Ino): void {
    if (!this.#lost.has(ino) || this.#events.isContentNeeded(ino)) return;
    this.#lost.delete(ino);
    this.#coveredSeq.delete(ino);
  }

  /** Looks again soon, as long as there is anything to look at: an idle mount wakes nobody. */
  #arm(): void {
    if (this.#stopReason !== undefined || this.#timer !== undefined || this.dirty.size === 0) return;
    this.#timer = this.#clock.setTimer(TICK_MS, () => {
      this.#timer = undefined;
      this.#fill();
      this.#arm();
    });
  }

  #kick(): void {
    // After this turn of the loop: fsyncs that arrive together share an upload.
    if (this.#kicked) return;
    this.#kicked = true;
    setImmediate(() => {
      this.#kicked = false;
      this.#fill();
    });
  }

  /** Starts as many groups as there are free lanes. */
  #fill(): void {
    if (this.#stopReason !== undefined || this.dirty.size === 0) return;
    if (this.dirty.urgent) {
      this.#fillLane("urgentSmall", "urgent");
      this.#fillLane("urgentLarge", "urgent");
    }
    this.#fillLane("small", "due");
    this.#fillLane("large", "due");
  }

  #fillLane(lane: Lane, which: "urgent" | "due"): void {
    while (this.#busy[lane] < LANES[lane] && this.#startGroup(lane, which)) {}
  }

  #startGroup(lane: Lane, which: "urgent" | "due"): boolean {
    const takesSmall = lane === "small" || lane === "urgentSmall";
    let bytes = 0;
    let files = 0;
    const inodes = this.dirty.take(which, (ino) => {
      const size = this.sizeOf(ino);
      const isSmall = size <= SHARED_FILE_BYTES_MAX;
      if (isSmall !== takesSmall) return false;
      const shared = isSmall && !this.dirty.hasFailed(ino);
      const fits = files === 0 || (shared && bytes + size <= SMALL_PACK_BYTES && files < FILES_PER_GROUP);
      if (fits) {
        files++;
        bytes = shared ? bytes + size : LARGE_PACK_BYTES;
      }
      return fits;
    });
    if (inodes.length === 0) return false;
    this.#busy[lane]++;
    void this.#run(inodes, lane).finally(() => {
      this.#busy[lane]--;
      this.#fill();
    });
    return true;
  }

  sizeOf(ino: Ino): number {
    const { cache, metadata } = this.#tools;
    return cache.opened(ino)?.stat().sizeBytes ?? metadata.local(ino)?.sizeBytes ?? 0;
  }

  async #run(inodes: readonly Ino[], lane: Lane): Promise<void> {
    const { cache } = this.#tools;
    const beganAt = this.#events.currentSeq();
    const { files, unreadable } = await this.#beginAll(inodes);
    try {
      const outcome = await uploadFiles(this.#tools, files, PRIORITIES[lane], this.#abort.signal);
      const { removed, failed } = outcome;
      const recorded = new Set(outcome.recorded);
      for (const { ino, source } of files) if (!recorded.has(ino)) cache.failUpload(ino, source);
      for (const [ino, content] of removed) if (this.#events.onLateContent(ino, content)) recorded.add(ino);
      for (const ino of inodes) {
        const error = unreadable.get(ino) ?? failed.get(ino);
        if (error === undefined) this.#settle(ino, recorded.has(ino) ? beganAt : undefined);
        else this.#giveBack(ino, error);
      }
      this.#events.onUploaded(PRIORITIES[lane] !== "background");
    } catch (error) {
      for (const { ino, source } of files) cache.failUpload(ino, source);
      for (const ino of inodes) this.dirty.failed(ino, error, isFinal(error));
      if (this.#stopReason === undefined) this.#events.onError(error);
    }
  }

  /** Fixes what is read of each file. One that cannot be read now is no reason to leave the others. */
  async #beginAll(
    inodes: readonly Ino[],
  ): Promise<{ readonly files: UploadFile[]; readonly unreadable: Map<Ino, unknown> }> {
    const files: UploadFile[] = [];
    const unreadable = new Map<Ino, unknown>();
    for (const ino of inodes) {
      await shareLoop();
      try {
        const source = this.#tools.cache.beginUpload(ino);
        if (source !== undefined) files.push({ ino, source });
      } catch (error) {
        unreadable.set(ino, error);
      }
    }
    return { files, unreadable };
  }

  /** @param coveredSeq undefined when nothing was recorded: it is clean, or gone, or has no name yet */
  #settle(ino: Ino, coveredSeq: number | undefined): void {
    const { metadata } = this.#tools;
    const isDirty = metadata.local(ino)?.dirty ?? false;
    if (coveredSeq !== undefined) this.#coveredSeq.set(ino, coveredSeq);
    this.dirty.finished(ino, isDirty);
    if (this.dirty.has(ino)) return;
    if (metadata.inode(ino) === undefined && this.#events.isContentNeeded(ino)) this.#lost.add(ino);
    else this.#coveredSeq.delete(ino);
  }

  #giveBack(ino: Ino, error: unknown): void {
    this.dirty.failed(ino, error, isFinal(error));
    this.#events.onError(error);
  }
}

/** Whether it is no use to wait for another attempt. There is one all the same. */
function isFinal(error: unknown): boolean {
  return error instanceof PodfsError && !error.retryable;
}
