import { setImmediate as nextTurn } from "node:timers/promises";
import type { ObjectStore } from "../../backend/index.js";
import type { Epoch, SegmentSeq } from "../../base/index.js";
import {
  type BlockReader,
  contentSizeBytes,
  type EpochStart,
  FormatError,
  type OpRange,
  readCheckpointAsync,
} from "../../format/index.js";
import { isContentKey, isInodeKey } from "../key-kinds.js";
import { applySegment } from "../log/apply-segment.js";
import { readLog } from "../log/read-log.js";
import { MetaError } from "../meta-error.js";
import type { Totals } from "../operation.js";
import type { MetaStore } from "../store.js";
import { emptyPosition, writePosition } from "../volume-position.js";
import { fetchPieces } from "./fetch-pieces.js";
import { type FoundCheckpoint, listCheckpoints } from "./find-checkpoint.js";

export interface LoadProgress {
  readonly records: number;
  /** Of the checkpoint; the log has no known end. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface LoadOptions {
  readonly backend: ObjectStore;
  readonly volumeUuid: string;
  readonly beginsAt: readonly EpochStart[];
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Records per transaction: some milliseconds of work, so that the loop lives when this runs in the main thread. */
const SLICE_RECORDS = 2000;

export interface LoadedVolume {
  /** The segments that were read, those after the checkpoint: who shipped which operations. */
  readonly segments: readonly ShippedOperations[];
}

export interface ShippedOperations {
  readonly epoch: Epoch;
  readonly shipped: readonly OpRange[];
}

/**
 * Fills an empty store with the volume's newest checkpoint and the log after it.
 *
 * @throws MetaError corrupt, too-new. @throws BackendError
 */
export async function loadVolume(store: MetaStore, options: LoadOptions): Promise<LoadedVolume> {
  const { backend, volumeUuid, beginsAt } = options;
  const newest = (await listCheckpoints(backend)).at(-1);
  if (newest === undefined) store.transact((tx) => writePosition(tx, emptyPosition(volumeUuid)));
  else await loadCheckpoint(store, newest, options);
  const from = ((newest?.segment ?? 0) + 1) as SegmentSeq;
  const segments: ShippedOperations[] = [];
  for await (const segment of readLog(backend, from, beginsAt)) {
    segments.push({ epoch: segment.epoch, shipped: segment.shipped });
    applySegment(store, segment, undefined);
    await nextTurn();
  }
  return { segments };
}

async function loadCheckpoint(store: MetaStore, found: FoundCheckpoint, options: LoadOptions): Promise<void> {
  const { backend, onProgress } = options;
  let bytesDone = 0;
  const pieces = async function* () {
    for await (const piece of fetchPieces(backend, found)) {
      yield piece;
      bytesDone += piece.byteLength;
    }
  };
  try {
    const { header, records } = await readCheckpointAsync(pieces());
    const tally = new Tally();
    for await (const block of records) {
      while (block.left > 0) {
        putSome(store, block, tally);
        await nextTurn();
      }
      onProgress?.({ records: tally.records, bytesDone, bytesTotal: found.sizeBytes });
    }
    store.transact((tx) =>
      writePosition(tx, {
        ...emptyPosition(options.volumeUuid),
        segment: header.segmentSeq,
        epoch: header.epoch,
        checkpoint: header.segmentSeq,
        checkpointBytes: found.sizeBytes,
        lastSeq: header.opSeq,
        totals: tally.totals,
      }),
    );
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const kind = error.kind === "too-new" ? "too-new" : "corrupt";
    throw new MetaError(kind, `${backend.url}: ${found.key}: ${error.message}`, { cause: error });
  }
}

function putSome(store: MetaStore, block: BlockReader, tally: Tally): void {
  store.transact((tx) => {
    for (let count = 0; count < SLICE_RECORDS && block.next(); count++) {
      tx.append(block.key, block.value);
      tally.add(block.key, block.value);
    }
  });
}

/** Counts what a checkpoint's records add up to. */
class Tally {
  records = 0;
  #inodes = 0;
  #contentBytes = 0;

  get totals(): Totals {
    return { inodes: this.#inodes, contentBytes: this.#contentBytes };
  }

  add(key: Uint8Array, value: Uint8Array): void {
    this.records += 1;
    if (isInodeKey(key)) this.#inodes += 1;
    if (isContentKey(key)) this.#contentBytes += contentSizeBytes(value);
  }
}
