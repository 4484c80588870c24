import type { ContentId, Epoch, OpSeq } from "../../base/index.js";
import { inodeKey, type OpRange } from "../../format/index.js";
import type { ShippedOperations } from "../checkpoint/load-volume.js";
import type { JournalContents } from "../journal/read-journal.js";
import { decodeLocalFile, dirtyKey, localKey, operationKey } from "../local-records.js";
import { applyEntries } from "../log/apply-segment.js";
import { decodeOperation, encodeOperation } from "../operation.js";
import type { MetaStore } from "../store.js";
import { readPosition, writePosition } from "../volume-position.js";
import { divergedError, isOnlyRootCreation } from "./unpublished.js";

export interface ReplayOptions {
  readonly volume: string;
  /** What was loaded behind the checkpoint. */
  readonly segments: readonly ShippedOperations[];
  /** Whether the bytes of a dirty file are still there. */
  readonly contentExists: (id: ContentId) => boolean;
}

/**
 * Puts what was pending when the machine stopped on top of a store that was just loaded from the volume: operations
 * the volume does not have, and the dirty files whose content is still there.
 *
 * @throws MetaError diverged when others have written to the volume since.
 */
export function replayJournal(store: MetaStore, journal: JournalContents, options: ReplayOptions): void {
  // Another writer's operations have numbers of their own history.
  const own = options.segments.filter(({ epoch }) => isOwn(journal, epoch)).flatMap(({ shipped }) => shipped);
  const operations = withoutShipped(journal.operations, own);
  if (isOvertaken(store, journal)) {
    expectNothingPending(journal, operations, options.volume);
    return;
  }
  for (const [seq, bytes] of operations) replayOperation(store, seq, bytes);
  store.transact((tx) => {
    for (const [ino, record] of journal.dirty) {
      const exists = tx.get(inodeKey(ino)) !== undefined && options.contentExists(decodeLocalFile(record).contentId);
      if (!exists) continue;
      tx.put(localKey(ino), record);
      tx.put(dirtyKey(ino), Buffer.alloc(0));
    }
    const position = readPosition(tx);
    writePosition(tx, { ...position, ownEpochs: journal.base.ownEpochs as typeof position.ownEpochs });
  });
}

function replayOperation(store: MetaStore, seq: OpSeq, bytes: Uint8Array): void {
  store.transact((tx) => {
    const operation = decodeOperation(seq, bytes);
    const position = readPosition(tx);
    const totals = applyEntries(tx, operation.entries, position.totals);
    tx.put(operationKey(seq), encodeOperation({ ...operation, totals }));
    writePosition(tx, { ...position, totals, lastSeq: Math.max(position.lastSeq, seq) as OpSeq });
  });
}

function isOwn({ base }: JournalContents, epoch: Epoch): boolean {
  return (base.ownEpochs as readonly number[]).includes(epoch);
}

/** Ranges are of many segments, in no order, and do not overlap; operations are in order. */
function withoutShipped(operations: JournalContents["operations"], ranges: readonly OpRange[]) {
  const sorted = [...ranges].sort((a, b) => a.first - b.first);
  let index = 0;
  return operations.filter(([seq]) => {
    while ((sorted[index]?.last ?? seq) < seq) index++;
    return seq < (sorted[index]?.first ?? Number.POSITIVE_INFINITY);
  });
}

/** Whether somebody else has written to the volume since. */
function isOvertaken(store: MetaStore, journal: JournalContents): boolean {
  const { segment, epoch } = store.read(readPosition);
  return segment > journal.base.segment && !isOwn(journal, epoch);
}

function expectNothingPending(
  { dirty }: JournalContents,
  operations: JournalContents["operations"],
  volume: string,
): void {
  if (operations.length === 0 && dirty.length === 0) return;
  const seqs = operations.map(([seq]) => seq);
  if (isOnlyRootCreation(seqs, dirty.length)) return;
  const bytes = dirty.reduce((sum, [, record]) => sum + decodeLocalFile(record).sizeBytes, 0);
  throw divergedError(volume, { files: dirty.length, bytes, operations: operations.length });
}
