import type { ContentId, OpSeq } from "../../base/index.js";
import { inodeKey, type OpRange } from "../../format/index.js";
import type { JournalContents } from "../journal/read-journal.js";
import { decodeLocalFile, dirtyKey, localKey, operationKey } from "../local-records.js";
import { applyEntries } from "../log/apply-segment.js";
import { decodeOperation, encodeOperation } from "../operation.js";
import type { MetaStore } from "../store.js";
import { readPosition, writePosition } from "../volume-position.js";
import { divergedError } from "./unpublished.js";

export interface ReplayOptions {
  readonly volume: string;
  /** In the segments that were loaded. */
  readonly shipped: readonly OpRange[];
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
  const operations = journal.operations.filter(([seq]) => !isShipped(options.shipped, seq));
  expectOwnHistory(store, journal, operations, options.volume);
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

/** Ranges are of many segments, in no order. */
function isShipped(ranges: readonly OpRange[], seq: OpSeq): boolean {
  return ranges.some(({ first, last }) => first <= seq && seq <= last);
}

function expectOwnHistory(
  store: MetaStore,
  { base, dirty }: JournalContents,
  operations: JournalContents["operations"],
  volume: string,
): void {
  const { segment, epoch } = store.read(readPosition);
  if (segment <= base.segment || (base.ownEpochs as readonly number[]).includes(epoch)) return;
  if (operations.length === 0 && dirty.length === 0) return;
  const bytes = dirty.reduce((sum, [, record]) => sum + decodeLocalFile(record).sizeBytes, 0);
  throw divergedError(volume, { files: dirty.length, bytes, operations: operations.length });
}
