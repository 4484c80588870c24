import { type Clock, Deferred, type Ino, shareLoop, type Timer } from "../base/index.js";
import type { Priority } from "../transfer/index.js";
import { ContentCoverage } from "./content-coverage.js";
import { Countdown } from "./countdown.js";
import { DirtyFiles } from "./dirty-files.js";
import type { SizeClass } from "./upload-group.js";
import type { UploadTools } from "./upload-job.js";
import { recordOf, type UploadEvents, UploadRunner } from "./upload-runner.js";

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
/** Urging a file takes a microsecond or less. */
const URGED_AT_ONCE = 64;

export interface UploadSchedulerEvents extends UploadEvents {
  /** Whether an operation is pending that makes the file visible. */
  isContentNeeded(ino: Ino): boolean;
}

/**
 * Decides when which dirty files are uploaded together: soon after they are closed, every half minute while they are
 * open, at once when somebody waits. One upload runs in one lane.
 */
export class UploadScheduler {
  readonly dirty: DirtyFiles;
  readonly coverage: ContentCoverage;
  readonly #tools: UploadTools;
  readonly #clock: Clock;
  readonly #events: UploadSchedulerEvents;
  readonly #runner: UploadRunner;
  readonly #busy: Record<Lane, number> = { urgentSmall: 0, urgentLarge: 0, small: 0, large: 0 };
  readonly #abort = new AbortController();
  #timer: Timer | undefined;
  #kicked = false;
  /** How many are urging many files. Whatever of them were taken meanwhile would be a pack by itself, which need not be full. */
  #urging = 0;
  #stopReason: { readonly reason: unknown } | undefined;

  constructor(tools: UploadTools, clock: Clock, events: UploadSchedulerEvents) {
    this.#tools = tools;
    this.#clock = clock;
    this.#events = events;
    this.dirty = new DirtyFiles(clock, (ino) => this.#sizeOf(ino));
    this.coverage = new ContentCoverage({
      isDirty: (ino) => this.dirty.has(ino),
      exists: (ino) => tools.metadata.inode(ino) !== undefined,
      isContentNeeded: (ino) => events.isContentNeeded(ino),
    });
    const { dirty, coverage } = this;
    this.#runner = new UploadRunner({ tools, dirty, coverage, events, signal: this.#abort.signal });
  }

  get running(): number {
    const { urgentSmall, urgentLarge, small, large } = this.#busy;
    return urgentSmall + urgentLarge + small + large;
  }

  start(): void {
    const { metadata, cache } = this.#tools;
    const left = Array.from(metadata.dirtyFiles()).sort(([, a], [, b]) => a.dirtySinceMs - b.dirtySinceMs);
    for (const [ino, local] of left) this.dirty.closed(ino, local);
    cache.onDirty((ino, event) => {
      // Clean until now: the volume has its content as of now, or gets it from what is pending.
      if (!this.dirty.has(ino)) this.coverage.covered(ino, this.#events.currentSeq());
      if (event === "opened") this.dirty.opened(ino);
      else this.dirty.closed(ino, recordOf(metadata, ino));
      if (this.dirty.hasGathered) this.#kick();
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
    const done = new Deferred();
    this.dirty.urge(ino, done);
    this.#kick();
    await done.promise;
  }

  /** {@link upload} of many. */
  async uploadAll(inodes: Iterable<Ino>): Promise<void> {
    const uploads = new Countdown();
    let count = 0;
    this.#urging++;
    try {
      for (const ino of inodes) {
        if (++count % URGED_AT_ONCE === 0) await shareLoop();
        if (!this.dirty.has(ino)) continue;
        if (this.#stopReason !== undefined) throw this.#stopReason.reason;
        this.dirty.urge(ino, uploads.another());
      }
    } finally {
      this.#urging--;
    }
    this.#kick();
    await uploads.all();
  }

  /**
   * Makes the totals right after {@link stop}: nobody says when a dirty file is removed, and its turn to be uploaded, when that
   * is found out, does not come any more.
   */
  async recount(): Promise<void> {
    const { metadata } = this.#tools;
    for (const ino of [...this.dirty.inodes()]) {
      await shareLoop();
      if (recordOf(metadata, ino) === undefined) this.dirty.removed(ino);
    }
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
    if (this.dirty.urgent && this.#urging === 0) {
      this.#fillLane("urgentSmall", "urgent", "small");
      this.#fillLane("urgentLarge", "urgent", "large");
    }
    this.#fillLane("small", "due", "small");
    this.#fillLane("large", "due", "large");
  }

  #fillLane(lane: Lane, which: "urgent" | "due", size: SizeClass): void {
    while (this.#busy[lane] < LANES[lane]) {
      const inodes = this.dirty.take(which, size);
      if (inodes.length === 0) return;
      this.#busy[lane]++;
      void this.#runner.run(inodes, PRIORITIES[lane]).finally(() => {
        this.#busy[lane]--;
        this.#fill();
      });
    }
  }

  #sizeOf(ino: Ino): number {
    const { cache, metadata } = this.#tools;
    return cache.opened(ino)?.stat().sizeBytes ?? metadata.local(ino)?.sizeBytes ?? 0;
  }
}
