import { formatBytes, type OpSeq, ROOT_INO } from "../../base/index.js";
import { directoryTimesKey, inodeKey } from "../../format/index.js";
import { pendingRecords } from "../journal/pending-records.js";
import { decodeLocalFile, LocalRange, operationKey } from "../local-records.js";
import { DivergedError, type UnpublishedWork } from "../meta-error.js";
import { scan } from "../scan.js";
import type { MetaStore } from "../store.js";

/** What the local store holds that the volume does not. */
function countUnpublished(store: MetaStore): UnpublishedWork {
  let [files, bytes, operations] = [0, 0, 0];
  for (const record of pendingRecords(store)) {
    if (record.kind === "operation") operations += 1;
    if (record.kind !== "dirty") continue;
    files += 1;
    bytes += decodeLocalFile(record.bytes).sizeBytes;
  }
  return { files, bytes, operations };
}

function hasUnpublished(store: MetaStore): boolean {
  for (const range of [LocalRange.operations, LocalRange.dirty]) {
    for (const _record of scan(store, range)) return true;
  }
  return false;
}

/** Number of the operation that creates the root directory of an empty volume: inode numbers are operation numbers. */
const ROOT_CREATION = ROOT_INO as number;

/** A first mount that ended before anything was done in it has nothing to lose: its root directory is any other's. */
export function isOnlyRootCreation(operations: readonly OpSeq[], dirtyFiles: number): boolean {
  return dirtyFiles === 0 && operations.length === 1 && operations[0] === ROOT_CREATION;
}

/**
 * Makes way for what others have written.
 *
 * @throws MetaError diverged when there is unpublished work.
 */
export function expectNothingUnpublished(store: MetaStore, volume: string): void {
  if (!hasUnpublished(store)) return;
  const [first, second] = Array.from(take(pendingRecords(store), 2));
  const isRoot = first?.kind === "operation" && second === undefined && isOnlyRootCreation([first.seq], 0);
  if (!isRoot) throw divergedError(volume, countUnpublished(store));
  store.transact((tx) => {
    tx.delete(operationKey(first.seq));
    tx.delete(inodeKey(ROOT_INO));
    tx.delete(directoryTimesKey(ROOT_INO));
  });
}

function* take<T>(values: Iterable<T>, count: number): Generator<T, void> {
  let left = count;
  for (const value of values) {
    if (left-- === 0) return;
    yield value;
  }
}

export function divergedError(volume: string, { files, bytes, operations }: UnpublishedWork): DivergedError {
  return new DivergedError(
    `this cache directory holds ${files} files (${formatBytes(bytes)}) and ${operations} operations that ${volume} does ` +
      "not have, and others have written to it since: mount with another cache directory, or delete this one to discard them",
    { files, bytes, operations },
  );
}
