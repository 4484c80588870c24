import type { Epoch, OpSeq, SegmentSeq } from "../base/index.js";
import { InvariantError } from "../base/index.js";
import { factKey } from "./local-records.js";
import type { Totals } from "./operation.js";
import type { StoreTransaction, StoreView } from "./store.js";

/** Which state of the volume the shared records of a local store are (not counting pending operations). */
export interface VolumePosition {
  /** The volume's own id, so that a cache directory is not used for another one. */
  readonly volumeUuid: string;
  /** Last segment contained; 0 when there is none yet. */
  readonly segment: SegmentSeq;
  /** Epoch of that segment's writer. */
  readonly epoch: Epoch;
  /** Epochs this cache directory held the lease for: segments of these are its own. */
  readonly ownEpochs: readonly Epoch[];
  /** Newest checkpoint known to be in the volume: up to which segment; 0 when there is none. */
  readonly checkpoint: SegmentSeq;
  readonly checkpointBytes: number;
  /** Bytes and segments of the log since that checkpoint. */
  readonly logBytes: number;
  /** Operations up to this one are accounted for in `totals`, pending or not. */
  readonly lastSeq: OpSeq;
  readonly totals: Totals;
}

const FACT = "position";

/** A store that contains nothing yet. */
export function emptyPosition(volumeUuid: string): VolumePosition {
  return {
    volumeUuid,
    segment: 0 as SegmentSeq,
    epoch: 0 as Epoch,
    ownEpochs: [],
    checkpoint: 0 as SegmentSeq,
    checkpointBytes: 0,
    logBytes: 0,
    lastSeq: 0 as OpSeq,
    totals: { inodes: 0, contentBytes: 0 },
  };
}

/** Undefined when nothing was ever loaded into the store. */
export function findPosition(view: StoreView): VolumePosition | undefined {
  const bytes = view.get(factKey(FACT));
  if (bytes === undefined) return undefined;
  return JSON.parse(Buffer.from(bytes).toString("utf8")) as VolumePosition;
}

export function readPosition(view: StoreView): VolumePosition {
  const position = findPosition(view);
  if (position === undefined) throw new InvariantError("metadata is used before a volume was loaded into it");
  return position;
}

export function writePosition(tx: StoreTransaction, position: VolumePosition): void {
  tx.put(factKey(FACT), Buffer.from(JSON.stringify(position), "utf8"));
}
