import { type Clock, type Ino, PodfsError, type Timer } from "../base/index.js";
import type { Priority } from "../transfer/index.js";
import { DirtyFiles } from "./dirty-files.js";
import { LARGE_PACK_BYTES, SMALL_PACK_BYTES, type UploadFile, type UploadTools, uploadFiles } from "./upload-job.js";

const TICK_MS = 100;
/** Uploads side by side. Large files have lanes of their own, so that a huge one never keeps small ones waiting. */
const LANES = { urgent: 3, small: 2, large: 2 } as const;
type Lane = keyof typeof LANES;
const FILES_PER_GROUP = 1024;
/** A file up to this size shares a pack with others. */
const SHARED_FILE_BYTES_MAX = 4 << 20;

export interface UploadSchedulerEvents {
  /** Content operations were recorded: something can be shipped. `coveredSeq` tells what the content includes. */
  onUploaded(inodes: readonly Ino[], urgent: boolean): void;
  onError(error: unknown): void;
  /** Asked when an upload begins; its answer is kept for {@link UploadScheduler.coversOperation}. */
  currentSeq(): number;
}

/**
 * Decides when which dirty files are uploaded together: soon after they are closed, every half minute while they are
 * open, at once when somebody waits. One upload runs in one lane.
 */
export class UploadScheduler {
  readonly dirty: DirtyFiles;
  readonly #tools: UploadTools;
  readonly #clock: Clock;
  readonly #events: UploadSchedulerEvents;
  readonly #busy: Record<Lane, number> = { urgent: 0, small: 0, large: 0 };
  readonly #abort = new AbortController();
  /** Last operation before the newest recorded upload of a file that is still dirty began. */
  readonly #coveredSeq = new Map<Ino, number>();
  #timer: Timer | undefined;
  #kicked = false;
  #stopped = false;

  constructor(tools: UploadTools, clock: Clock, events: UploadSchedulerEvents) {
    this.#tools = tools;
    this.#clock = clock;
    this.#events = events;
    this.dirty = new DirtyFiles(clock);
  }

  get running(): number {
    return this.#busy.urgent + this.#busy.small + this.#busy.large;
  }

  start(): void {
    for (const [ino] of this.#tools.metadata.dirtyFiles()) this.dirty.closed(ino, this.sizeOf(ino));
    this.#tools.cache.onDirty((ino, event) => {
      if (event === "opened") this.dirty.opened(ino);
      else this.dirty.closed(ino, this.sizeOf(ino));
    });
    this.#arm();
  }

  /** No upload begins any more; those under way are given up (their files stay dirty). */
  stop(reason: unknown): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#abort.abort(reason);
    this.dirty.rejectAll(reason);
  }

  /** Resolves when the file's bytes as of now are in the backend and recorded. */
  async upload(ino: Ino): Promise<void> {
    if (!this.dirty.has(ino)) return;
    const done = this.dirty.urge(ino);
    this.#kick();
    await done;
  }

  /** Whether an upload that began after the operation has been recorded, or none is needed. */
  coversOperation(ino: Ino, seq: number): boolean {
    if (!this.dirty.has(ino) || (this.#coveredSeq.get(ino) ?? -1) >= seq) return true;
    // A temporary file that is gone already but still open would hold up its directory until it is closed.
    return this.dirty.isOpen(ino) && this.#tools.metadata.inode(ino) === undefined;
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.setTimer(TICK_MS, () => {
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
    if (this.#stopped || this.dirty.size === 0) return;
    while (this.#free("urgent") && this.dirty.urgent && this.#startGroup("urgent", "urgent")) {}
    while (this.#free("small") && this.#startGroup("small", "due")) {}
    while (this.#free("large") && this.#startGroup("large", "due")) {}
  }

  #free(lane: Lane): boolean {
    return this.#busy[lane] < LANES[lane];
  }

  #startGroup(lane: Lane, which: "urgent" | "due"): boolean {
    let bytes = 0;
    let files = 0;
    const inodes = this.dirty.take(which, (ino) => {
      const size = this.sizeOf(ino);
      const shared = size <= SHARED_FILE_BYTES_MAX;
      if ((lane === "small" && !shared) || (lane === "large" && shared)) return false;
      const fits = files === 0 || (shared && bytes + size <= SMALL_PACK_BYTES && files < FILES_PER_GROUP);
      if (fits) {
        files++;
        bytes = shared ? bytes + size : LARGE_PACK_BYTES;
      }
      return fits;
    });
    if (inodes.length === 0) return false;
    this.#busy[lane]++;
    void this.#run(inodes, lane === "urgent" ? "urgent" : "background").finally(() => {
      this.#busy[lane]--;
      this.#fill();
    });
    return true;
  }

  sizeOf(ino: Ino): number {
    const { cache, metadata } = this.#tools;
    return cache.opened(ino)?.stat().sizeBytes ?? metadata.local(ino)?.sizeBytes ?? 0;
  }

  async #run(inodes: readonly Ino[], priority: Priority): Promise<void> {
    const { cache, metadata } = this.#tools;
    const beganAt = this.#events.currentSeq();
    const files: UploadFile[] = [];
    try {
      for (const ino of inodes) {
        const source = cache.beginUpload(ino);
        if (source !== undefined) files.push({ ino, source });
      }
      await uploadFiles(this.#tools, files, priority, this.#abort.signal);
      for (const ino of inodes) {
        const dirty = metadata.local(ino)?.dirty ?? false;
        if (dirty) this.#coveredSeq.set(ino, beganAt);
        else this.#coveredSeq.delete(ino);
        this.dirty.finished(ino, dirty);
      }
      this.#events.onUploaded(inodes, priority === "urgent");
    } catch (error) {
      for (const { ino, source } of files) cache.failUpload(ino, source);
      const giveUp = error instanceof PodfsError && !error.retryable;
      for (const ino of inodes) this.dirty.failed(ino, error, giveUp);
      if (!this.#stopped) this.#events.onError(error);
    }
  }
}
