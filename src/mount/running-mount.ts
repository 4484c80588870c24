import type { StoreCounters } from "../backend/index.js";
import type { Clock } from "../base/index.js";
import type { ContentCache } from "../cache/index.js";
import { type Durability, PODFS_VERSION } from "../config/index.js";
import type { MountedTransport } from "../fuse/index.js";
import type { MetadataLog } from "../meta/index.js";
import type { Publisher, PublishStatus } from "../publish/index.js";
import type { StagingServer } from "../staging/index.js";
import type { Cleanup } from "./cleanup.js";
import type { DrainProgress, DropReport, StatusReport } from "./control-protocol.js";
import { type DropTools, dropFromCache } from "./drop-cache.js";
import type { MountSummary } from "./launch-protocol.js";

export interface MountParts {
  readonly summary: Omit<MountSummary, "passthrough" | "passthroughReason">;
  readonly durability: Durability;
  readonly clock: Clock;
  readonly mounted: MountedTransport;
  readonly metadata: DropTools["metadata"];
  readonly cache: Pick<ContentCache, "usage"> & DropTools["cache"];
  readonly publisher: Publisher;
  /** Absent where nothing is written. */
  readonly log: MetadataLog | undefined;
  /** Absent where no checkpoints are taken. */
  readonly staging: StagingServer | undefined;
  /** Why passthrough was not even asked for; empty when it was. */
  readonly passthroughOff: string;
  /** Traffic of this thread and of all workers. */
  readonly traffic: () => StoreCounters;
  /** What this thread's requests to the backend (metadata) are failing with just now. */
  readonly recentTrouble: () => string | undefined;
  readonly cleanup: Cleanup;
  readonly onCloseError: (what: string, error: unknown) => void;
}

/** A mount that answers: what can be asked of it, and how it ends. */
export class RunningMount {
  readonly #parts: MountParts;
  readonly #startedMs: number;
  #fencedReason: string | undefined;

  constructor(parts: MountParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.monotonicMs();
    parts.log?.onLeaseLost((reason) => {
      this.#fencedReason = reason;
    });
  }

  get summary(): MountSummary {
    return { ...this.#parts.summary, ...this.#passthrough() };
  }

  pending(): DrainProgress {
    const { pendingFiles, pendingBytes } = this.#parts.publisher.status();
    return { pendingFiles, pendingBytes };
  }

  status(): StatusReport {
    const { summary, durability, clock, mounted, cache, publisher, log, traffic, recentTrouble, staging } = this.#parts;
    const { pendingFiles, pendingBytes, pendingOperations, oldestDirtyAgeMs, lastError } = publisher.status();
    const { puts, gets, deletes, putBytes, getBytes, retries, errors } = traffic();
    return {
      pid: process.pid,
      version: PODFS_VERSION,
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMs),
      state: this.#fencedReason === undefined ? "mounted" : "fenced",
      mountpoint: summary.mountpoint,
      volume: { uuid: summary.volumeUuid, backend: summary.backend, readOnly: summary.readOnly },
      transport: mounted.name,
      ...this.#passthrough(),
      durability,
      cache: { directory: summary.cacheDir, ...cache.usage() },
      publish: {
        ...{ pendingFiles, pendingBytes, pendingOperations, oldestDirtyAgeMs },
        lastError: this.#fencedReason ?? lastError ?? (pendingOperations > 0 ? recentTrouble() : undefined) ?? null,
      },
      backend: { puts, gets, deletes, putBytes, getBytes, retries, errors },
      fuse: { requests: mounted.counters() },
      lease: log === undefined ? null : { epoch: log.lease.epoch, holder: log.lease.holder },
      staging: staging?.status() ?? null,
    };
  }

  /** Resolves when everything written so far is in the volume. */
  flush(): Promise<void> {
    return this.#parts.publisher.syncAll();
  }

  /** Evicts what is published of these files and trees: see {@link dropFromCache}. */
  drop(paths: readonly string[]): Promise<DropReport> {
    return dropFromCache(this.#parts, paths);
  }

  unmount(how: { readonly lazy: boolean }): Promise<void> {
    return this.#parts.mounted.unmount(how);
  }

  /**
   * For after the unmount: ends what is being staged, publishes what is left until the deadline, and says what could not be.
   */
  async drain(deadlineMs: number, onProgress: (progress: DrainProgress) => void): Promise<PublishStatus> {
    await this.#parts.staging?.close();
    return this.#parts.publisher.drain(deadlineMs, onProgress);
  }

  /** Closes everything; what is not published stays in the cache directory. */
  close(): Promise<void> {
    return this.#parts.cleanup.run(this.#parts.onCloseError);
  }

  #passthrough(): Pick<MountSummary, "passthrough" | "passthroughReason"> {
    const { mounted, passthroughOff } = this.#parts;
    const { passthrough } = mounted;
    const reason = passthroughOff === "" ? mounted.passthroughReason : passthroughOff;
    return { passthrough, passthroughReason: passthrough ? "" : reason };
  }
}
