import type { ContentId, OpSeq } from "../base/index.js";
import type { ContentRecord, Time } from "../format/index.js";
import type { LocalFile } from "../meta/index.js";

/**
 * How `f` records change. Two rules beyond the record's own description:
 * - `complete: false` means that a block map exists and is right, about what is present and what is dirty. A map beside
 *   a complete file is a leftover.
 * - `generation` is odd while somebody has the file open for writing. After a crash the size and mtime of an odd one are
 *   those of the content file itself, those of an even one are in the record.
 */
export interface ImageTime {
  readonly nowMs: number;
  readonly trustEpoch: number;
}

/** Of a file that is new, or begins anew after O_TRUNC: open for writing. */
export function emptyDirty(
  time: ImageTime,
  image: { readonly contentId: ContentId; readonly version: OpSeq; readonly mtime: Time; readonly generation: number },
): LocalFile {
  // Field by field: properties that come after a spread each cost another backing store, a kilobyte for each new file.
  return {
    contentId: image.contentId,
    dirty: true,
    complete: true,
    version: image.version,
    sizeBytes: 0,
    mtime: image.mtime,
    generation: oddAfter(image.generation),
    dirtySinceMs: time.nowMs,
    diskBytes: 0,
    lastUsedMs: time.nowMs,
    trustEpoch: time.trustEpoch,
  };
}

/** Of a copy of what the volume has. */
export function cleanCopy(
  time: ImageTime,
  image: {
    readonly contentId: ContentId;
    readonly content: ContentRecord;
    readonly complete: boolean;
    readonly diskBytes: number;
  },
): LocalFile {
  const { contentId, content, complete, diskBytes } = image;
  return {
    contentId,
    dirty: false,
    complete,
    version: content.version,
    sizeBytes: content.sizeBytes,
    mtime: content.mtime,
    generation: 0,
    dirtySinceMs: 0,
    diskBytes,
    lastUsedMs: time.nowMs,
    trustEpoch: time.trustEpoch,
  };
}

/** The first writer has come. */
export function openedForWriting(local: LocalFile, nowMs: number): LocalFile {
  return {
    ...local,
    dirty: true,
    generation: oddAfter(local.generation),
    dirtySinceMs: local.dirty ? local.dirtySinceMs : nowMs,
    lastUsedMs: nowMs,
  };
}

export interface ImageState {
  readonly sizeBytes: number;
  readonly diskBytes: number;
  readonly mtime: Time;
}

/** The last writer has gone and left the file like this. */
export function closedByWriter(local: LocalFile, state: ImageState, written: boolean, nowMs: number): LocalFile {
  const { sizeBytes, diskBytes, mtime } = state;
  const generation = evenAfter(local.generation);
  const dirty = local.dirty && written;
  const dirtySinceMs = dirty ? local.dirtySinceMs : 0;
  return { ...local, sizeBytes, diskBytes, mtime, generation, dirty, dirtySinceMs, lastUsedMs: nowMs };
}

/** Bytes of one file for the totals. */
export interface Counted {
  readonly bytes: number;
  readonly dirtyBytes: number;
}

export const NOTHING_COUNTED: Counted = { bytes: 0, dirtyBytes: 0 };

export function countOf(local: LocalFile | undefined): Counted {
  if (local === undefined) return NOTHING_COUNTED;
  return { bytes: local.diskBytes, dirtyBytes: local.dirty ? local.diskBytes : 0 };
}

export function isOpenForWriting(generation: number): boolean {
  return generation % 2 === 1;
}

function oddAfter(generation: number): number {
  return generation + 1 + (generation % 2);
}

function evenAfter(generation: number): number {
  return generation + (generation % 2);
}
