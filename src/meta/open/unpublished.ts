import { formatBytes } from "../../base/index.js";
import { decodeLocalFile, LocalRange } from "../local-records.js";
import { DivergedError, type UnpublishedWork } from "../meta-error.js";
import { pendingRecords } from "../journal/pending-records.js";
import { scan } from "../scan.js";
import type { MetaStore } from "../store.js";

/** What the local store holds that the volume does not. */
export function countUnpublished(store: MetaStore): UnpublishedWork {
  let [files, bytes, operations] = [0, 0, 0];
  for (const record of pendingRecords(store)) {
    if (record.kind === "operation") operations += 1;
    if (record.kind !== "dirty") continue;
    files += 1;
    bytes += decodeLocalFile(record.bytes).sizeBytes;
  }
  return { files, bytes, operations };
}

export function hasUnpublished(store: MetaStore): boolean {
  for (const range of [LocalRange.operations, LocalRange.dirty]) {
    for (const _record of scan(store, range)) return true;
  }
  return false;
}

export function divergedError(volume: string, { files, bytes, operations }: UnpublishedWork): DivergedError {
  return new DivergedError(
    `this cache directory holds ${files} files (${formatBytes(bytes)}) and ${operations} operations that ${volume} does ` +
      "not have, and others have written to it since: mount with another cache directory, or delete this one to discard them",
    { files, bytes, operations },
  );
}
