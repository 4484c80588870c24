import { setImmediate as nextTurn } from "node:timers/promises";
import type { ObjectStore } from "../../backend/index.js";
import type { OpSeq } from "../../base/index.js";
import type { EpochStart } from "../../format/index.js";
import { listCheckpoints } from "../checkpoint/find-checkpoint.js";
import { deriveState } from "../derived-state.js";
import { LocalRange, operationKey } from "../local-records.js";
import { applySegment, type ChangedKeys, movedTo, nextSegment } from "../log/apply-segment.js";
import { epochAt } from "../log/epochs.js";
import { type ReadSegment, readLog } from "../log/read-log.js";
import type { MetaStore } from "../store.js";
import { readPosition, writePosition } from "../volume-position.js";
import { expectNothingUnpublished } from "./unpublished.js";

/**
 * Brings a local store to the end of the volume's log. Segments that this cache directory shipped itself, without
 * living to hear of it, settle the operations in them; others are applied.
 *
 * @returns false when the log does not go on from here (too old, or another history): the volume must be loaded again.
 * @throws MetaError diverged when others have written and there is unpublished work. @throws BackendError
 */
export async function catchUp(
  store: MetaStore,
  backend: ObjectStore,
  beginsAt: readonly EpochStart[],
  changes?: ChangedKeys,
): Promise<boolean> {
  const position = store.read(readPosition);
  const writer = epochAt(beginsAt, position.segment);
  const sameHistory = position.segment === 0 || writer === position.epoch || writer === 0;
  if (!sameHistory) return needsReload(store, backend);
  for await (const segment of readLog(backend, nextSegment(position), beginsAt)) {
    if (position.ownEpochs.includes(segment.epoch)) {
      settleShipped(store, segment);
    } else {
      expectNothingUnpublished(store, backend.url);
      applySegment(store, segment, changes);
    }
    await nextTurn();
  }
  const newest = (await listCheckpoints(backend)).at(-1);
  const behind = newest !== undefined && newest.segment > store.read(readPosition).segment;
  return behind ? needsReload(store, backend) : true;
}

/** The volume has these operations: they are no longer pending. Their records are in the store, or newer ones are. */
export function settleShipped(store: MetaStore, segment: ReadSegment): void {
  store.transact((tx) => {
    const { nextSeq, totals } = deriveState(tx);
    const moved = movedTo(readPosition(tx), segment);
    writePosition(tx, { ...moved, totals, lastSeq: Math.max(moved.lastSeq, nextSeq - 1) as OpSeq });
    for (const { first, last } of segment.shipped) {
      const end = last === Number.MAX_SAFE_INTEGER ? LocalRange.operations.end : operationKey((last + 1) as OpSeq);
      const keys = Array.from(tx.range(operationKey(first), end), ([key]) => key);
      for (const key of keys) tx.delete(key);
    }
  });
}

function needsReload(store: MetaStore, backend: ObjectStore): false {
  expectNothingUnpublished(store, backend.url);
  return false;
}
