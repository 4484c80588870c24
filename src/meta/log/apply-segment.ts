import type { ContentId, Ino, Name, OpSeq, SegmentSeq } from "../../base/index.js";
import { applyTouchToRecord, decodeContent, directoryTimesKey, type LogEntry, parseKey } from "../../format/index.js";
import { isContentKey, isInodeKey } from "../key-kinds.js";
import { decodeLocalFile, dirtyKey, garbageKey, localKey } from "../local-records.js";
import type { Totals } from "../operation.js";
import type { MetaStore, StoreTransaction } from "../store.js";
import { readPosition, type VolumePosition, writePosition } from "../volume-position.js";
import type { ReadSegment } from "./read-log.js";

/** What changed under a follower, for the kernel's caches. */
export interface ChangedKeys {
  /** Attributes or content are new, or the inode is gone. */
  readonly inodes: Set<Ino>;
  /** Names that appeared, vanished, or mean another inode. */
  readonly names: Map<Ino, Set<Name>>;
}

export function noChanges(): ChangedKeys {
  return { inodes: new Set(), names: new Map() };
}

/**
 * Brings the store from the segment before to this one, in one transaction: readers see all of it or nothing.
 * For segments of other writers, or when loading: our own are in the store already, and what came after them too.
 */
export function applySegment(store: MetaStore, segment: ReadSegment, changes: ChangedKeys | undefined): void {
  store.transact((tx) => {
    const position = readPosition(tx);
    const totals = applyEntries(tx, segment.entries, position.totals);
    writePosition(tx, { ...movedTo(position, segment), totals });
    if (changes !== undefined) for (const entry of segment.entries) collectChange(changes, entry);
  });
}

/** A position that has also this segment. Totals are the caller's. */
export function movedTo(position: VolumePosition, segment: ReadSegment): VolumePosition {
  const lastShipped = segment.shipped.at(-1)?.last ?? 0;
  return {
    ...position,
    segment: segment.seq,
    epoch: segment.epoch,
    logBytes: position.logBytes + segment.storedBytes,
    lastSeq: Math.max(position.lastSeq, lastShipped) as OpSeq,
  };
}

/** Entries in any order, one per key. Returns the totals after them. */
export function applyEntries(tx: StoreTransaction, entries: readonly LogEntry[], before: Totals): Totals {
  let { inodes, contentBytes } = before;
  for (const entry of entries) {
    if (entry.op === "touch") {
      const key = directoryTimesKey(entry.ino);
      const times = tx.get(key);
      if (times !== undefined) tx.put(key, applyTouchToRecord(times, entry));
      continue;
    }
    const { key } = entry;
    if (isInodeKey(key)) inodes += inodeDelta(tx, entry);
    if (isContentKey(key)) {
      const old = tx.get(key);
      if (old !== undefined) contentBytes -= decodeContent(old).sizeBytes;
      if (entry.op === "put") contentBytes += decodeContent(entry.value).sizeBytes;
    }
    if (entry.op === "put") tx.put(key, entry.value);
    else tx.delete(key);
  }
  return { inodes, contentBytes };
}

function inodeDelta(tx: StoreTransaction, entry: Exclude<LogEntry, { readonly op: "touch" }>): number {
  const existed = tx.get(entry.key) !== undefined;
  if (entry.op === "put") return existed ? 0 : 1;
  const parsed = parseKey(entry.key);
  if (parsed.kind === "inode") dropLocal(tx, parsed.ino);
  return existed ? -1 : 0;
}

/** The file is gone from the volume: its local image is of no use. */
function dropLocal(tx: StoreTransaction, ino: Ino): void {
  const record = tx.get(localKey(ino));
  if (record === undefined) return;
  const id: ContentId = decodeLocalFile(record).contentId;
  tx.put(garbageKey(id), Buffer.alloc(0));
  tx.delete(localKey(ino));
  tx.delete(dirtyKey(ino));
}

/** Adds what an entry changes. */
export function collectChange(changes: ChangedKeys, entry: LogEntry): void {
  if (entry.op === "touch") {
    changes.inodes.add(entry.ino);
    return;
  }
  const parsed = parseKey(entry.key);
  switch (parsed.kind) {
    case "inode":
    case "directory-times":
    case "content":
    case "xattr":
      changes.inodes.add(parsed.ino);
      return;
    case "dentry": {
      const names = changes.names.get(parsed.parent) ?? new Set();
      changes.names.set(parsed.parent, names.add(parsed.name));
      return;
    }
    case "extent":
    case "chunk":
    case "pack":
      return;
  }
}

/** Which segments a position lacks begin here. */
export function nextSegment(position: VolumePosition): SegmentSeq {
  return (position.segment + 1) as SegmentSeq;
}
