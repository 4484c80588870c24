import type { ObjectStore } from "../../backend/index.js";
import type { LeaseKeeper } from "../lease/lease-keeper.js";
import { pruneEpochs } from "../log/epochs.js";
import type { VolumeMetadata } from "../volume-metadata.js";
import type { VolumePosition } from "../volume-position.js";
import type { MetaTasks } from "../worker/meta-tasks.js";
import { deleteCovered } from "./delete-covered.js";

export interface CheckpointWriterOptions {
  readonly metadata: VolumeMetadata;
  readonly store: ObjectStore;
  readonly lease: LeaseKeeper;
  readonly tasks: MetaTasks;
  /** For temporary files. */
  readonly folder: string;
  readonly onError: (error: unknown) => void;
}

const LOG_BYTES_MIN = 8 << 20;
/** Of the checkpoint: so that writing checkpoints costs at most three times what the log costs. */
const LOG_SHARE = 0.5;
/** Each is a request when the volume is loaded. */
const LOG_SEGMENTS_MAX = 512;

/** Whether the log has grown long enough to be worth a new checkpoint. */
export function isCheckpointDue(position: VolumePosition): boolean {
  const { logBytes, checkpointBytes, segment, checkpoint } = position;
  return logBytes > Math.max(LOG_BYTES_MIN, checkpointBytes * LOG_SHARE) || segment - checkpoint > LOG_SEGMENTS_MAX;
}

/** Writes checkpoints in the background, one at a time. A failure is reported, and tried again with the next segment. */
export class CheckpointWriter {
  readonly #options: CheckpointWriterOptions;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: CheckpointWriterOptions) {
    this.#options = options;
  }

  /** After a segment was shipped. */
  consider(): void {
    if (this.#running !== undefined || this.#closed || !isCheckpointDue(this.#options.metadata.position())) return;
    this.#running = this.write()
      .catch(this.#options.onError)
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Writes one now. @throws MetaError, BackendError */
  async write(): Promise<void> {
    const { metadata, lease, tasks, store, folder } = this.#options;
    const before = metadata.position();
    // The journal must know of every shipped operation whose segment may be deleted: the segment would have told.
    await metadata.sync();
    await lease.ensure();
    const built = await tasks.buildCheckpoint({ segment: before.segment, beginsAt: lease.beginsAt, folder });
    if (built === undefined) return;
    const { logBytes } = metadata.position();
    metadata.advance(
      { checkpoint: built.segment, checkpointBytes: built.sizeBytes, logBytes: logBytes - before.logBytes },
      [],
    );
    await lease.renew({ checkpointSeq: built.segment });
    const covered = await deleteCovered(store);
    await lease.renew({ beginsAt: pruneEpochs(lease.beginsAt, covered) });
  }

  /** Waits for the one under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }
}
