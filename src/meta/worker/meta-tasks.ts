import type { ObjectStore } from "../../backend/index.js";
import type { EpochStart } from "../../format/index.js";
import { type BuiltCheckpoint, buildCheckpoint, type CheckpointInput } from "../checkpoint/build-checkpoint.js";
import { type LoadedVolume, type LoadProgress, loadVolume } from "../checkpoint/load-volume.js";
import { LmdbStore } from "../lmdb/lmdb-store.js";
import { encodeSegment, type SegmentInput } from "../log/encode-segment.js";

/** Plain data. */
export interface LoadInput {
  /** File of the store to make; there is none yet. */
  readonly path: string;
  readonly volumeUuid: string;
  readonly beginsAt: readonly EpochStart[];
}

/** Work on metadata that is too long for the event loop. */
export interface MetaTasks {
  /** Takes `input.bytes`, with all of its buffer: the caller must not use it any more. */
  encodeSegment(input: SegmentInput): Promise<readonly Uint8Array[]>;
  buildCheckpoint(input: CheckpointInput): Promise<BuiltCheckpoint | undefined>;
  /** Makes a store that holds the volume, and closes it. */
  load(input: LoadInput, onProgress?: (progress: LoadProgress) => void): Promise<LoadedVolume>;
  close(): Promise<void>;
}

/** Does the work in this thread: what the worker runs, and what tools without a pool of workers use. */
export class InlineTasks implements MetaTasks {
  readonly #backend: ObjectStore;

  constructor(backend: ObjectStore) {
    this.#backend = backend;
  }

  async encodeSegment(input: SegmentInput): Promise<readonly Uint8Array[]> {
    return encodeSegment(input);
  }

  buildCheckpoint(input: CheckpointInput): Promise<BuiltCheckpoint | undefined> {
    return buildCheckpoint(this.#backend, input);
  }

  async load(input: LoadInput, onProgress?: (progress: LoadProgress) => void): Promise<LoadedVolume> {
    const { path, volumeUuid, beginsAt } = input;
    const store = new LmdbStore(path);
    try {
      return await loadVolume(store, { backend: this.#backend, volumeUuid, beginsAt, onProgress });
    } finally {
      await store.close();
    }
  }

  async close(): Promise<void> {}
}
