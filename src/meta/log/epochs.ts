import type { Epoch, SegmentSeq } from "../../base/index.js";
import type { EpochStart } from "../../format/index.js";

/**
 * Whose segment counts at a position of the log: the writer of the last epoch that begins there or before.
 * Epoch 0 when the lease does not say (nothing was ever written there, or it is long covered by a checkpoint).
 */
export function epochAt(beginsAt: readonly EpochStart[], segment: SegmentSeq): Epoch {
  return beginsAt.findLast((start) => start.seq <= segment)?.epoch ?? (0 as Epoch);
}

/**
 * The beginnings still needed once nobody reads segments up to `covered` any more: the last one at or before the
 * first needed segment, and all after it.
 */
export function pruneEpochs(beginsAt: readonly EpochStart[], covered: SegmentSeq): readonly EpochStart[] {
  const first = beginsAt.findLastIndex((start) => start.seq <= covered + 1);
  return first <= 0 ? beginsAt : beginsAt.slice(first);
}
