import { type Ino, PodfsError, shareLoop } from "../base/index.js";
import type { UploadSource } from "../cache/index.js";
import type { FileContent, Metadata } from "../meta/index.js";
import type { Priority } from "../transfer/index.js";
import type { ContentCoverage } from "./content-coverage.js";
import { NOBODY, type Waiter } from "./dirty-file.js";
import type { DirtyFiles, DirtyRecord } from "./dirty-files.js";
import { type UploadFile, type UploadOutcome, type UploadTools, uploadFiles } from "./upload-job.js";

export interface UploadEvents {
  /** Content operations were recorded: something can be shipped. */
  onUploaded(urgent: boolean): void;
  onError(error: unknown): void;
  /** The last operation so far. Asked when an upload begins, to know later what its content is newer than. */
  currentSeq(): number;
  /** A file was removed before its upload ended. Returns whether what makes it visible has this content now. */
  onLateContent(ino: Ino, content: FileContent): boolean;
}

export interface UploadRunnerParts {
  readonly tools: UploadTools;
  /** Where the files are counted as uploading, and hear how it went. */
  readonly dirty: DirtyFiles;
  readonly coverage: ContentCoverage;
  readonly events: UploadEvents;
  /** Aborted when the mount is being ended. */
  readonly signal: AbortSignal;
}

/** How one upload went. */
interface Upload {
  /** The last operation before it began. */
  readonly beganAt: number;
  readonly sources: ReadonlyMap<Ino, UploadSource>;
  /** Files that could not even be begun with, and why. */
  readonly unreadable: ReadonlyMap<Ino, unknown>;
  readonly outcome: UploadOutcome;
}

/**
 * Uploads groups of dirty files, and settles each file afterwards: it is recorded, or tried again.
 *
 * A thousand files are not looked at in one turn of the event loop. In between anybody may write, remove or reopen any of
 * them; but none is taken into another upload before it has been settled here.
 */
export class UploadRunner {
  readonly #parts: UploadRunnerParts;

  constructor(parts: UploadRunnerParts) {
    this.#parts = parts;
  }

  /** Rejects nothing. */
  async run(inodes: readonly Ino[], priority: Priority): Promise<void> {
    const { tools, events, signal } = this.#parts;
    const beganAt = events.currentSeq();
    const { files, unreadable } = await this.#beginAll(inodes);
    const sources = new Map(files.map(({ ino, source }) => [ino, source]));
    let outcome: UploadOutcome;
    try {
      outcome = await uploadFiles(tools, files, priority, signal);
    } catch (error) {
      await this.#giveAllBack(inodes, sources, error);
      return;
    }
    await this.#settleAll(inodes, { beganAt, sources, unreadable, outcome });
    events.onUploaded(priority !== "background");
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
        const source = this.#parts.tools.cache.beginUpload(ino);
        if (source !== undefined) files.push({ ino, source });
      } catch (error) {
        unreadable.set(ino, error);
      }
    }
    return { files, unreadable };
  }

  async #settleAll(inodes: readonly Ino[], upload: Upload): Promise<void> {
    const told: Waiter[] = [];
    for (const ino of inodes) {
      await this.#share();
      try {
        told.push(...this.#settle(ino, upload));
      } catch (error) {
        this.#giveBack(ino, error);
      }
    }
    // All at once: fsyncs that shared the upload share a segment.
    for (const waiter of told) waiter.resolve();
  }

  /** @returns who waited for it */
  #settle(ino: Ino, { beganAt, sources, unreadable, outcome }: Upload): readonly Waiter[] {
    const { tools, dirty, coverage, events } = this.#parts;
    const { recorded, removed, failed } = outcome;
    const source = sources.get(ino);
    if (source !== undefined && !recorded.has(ino)) tools.cache.failUpload(ino, source);
    const error = unreadable.get(ino) ?? failed.get(ino);
    if (error !== undefined) {
      this.#giveBack(ino, error);
      return NOBODY;
    }
    const late = removed.get(ino);
    // Else it was clean, or is gone, or has no name yet.
    if (recorded.has(ino) || (late !== undefined && events.onLateContent(ino, late))) coverage.covered(ino, beganAt);
    const waiters = dirty.finished(ino, recordOf(tools.metadata, ino));
    if (!dirty.has(ino)) coverage.settled(ino);
    return waiters;
  }

  /** The upload failed as a whole. */
  async #giveAllBack(inodes: readonly Ino[], sources: Upload["sources"], error: unknown): Promise<void> {
    const { tools, dirty, events, signal } = this.#parts;
    for (const ino of inodes) {
      await this.#share();
      const source = sources.get(ino);
      if (source !== undefined) tools.cache.failUpload(ino, source);
      dirty.failed(ino, error, isFinal(error));
    }
    if (!signal.aborted) events.onError(error);
  }

  #giveBack(ino: Ino, error: unknown): void {
    this.#parts.dirty.failed(ino, error, isFinal(error));
    this.#parts.events.onError(error);
  }

  /** Between one file and the next. Once the mount is being ended nobody waits for the loop, and the store is closed soon. */
  #share(): Promise<void> | undefined {
    return this.#parts.signal.aborted ? undefined : shareLoop();
  }
}

/** What is recorded of the file, if it is dirty. */
export function recordOf(metadata: Metadata, ino: Ino): DirtyRecord | undefined {
  const local = metadata.local(ino);
  return local?.dirty ? local : undefined;
}

/** Whether it is no use to wait for another attempt. There is one all the same. */
function isFinal(error: unknown): boolean {
  return error instanceof PodfsError && !error.retryable;
}
