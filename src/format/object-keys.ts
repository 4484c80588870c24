import type { Epoch, PackId, SegmentSeq } from "../base/index.js";

/**
 * Names of a volume's objects, relative to its prefix: FORMATS, section "Objects". Numbers have 16 decimal digits, so
 * that listings come in numeric order.
 */
export const DESCRIPTOR_OBJECT_KEY = "podfs.json";
export const LEASE_OBJECT_KEY = "meta/lease";
export const LOG_PREFIX = "meta/log/";
export const CHECKPOINT_PREFIX = "meta/snapshot/";
export const PACK_PREFIX = "pack/";

const NUMBER_DIGITS = 16; // of 2^53

/** Where a part of a log segment is. Part 0 has the plain name: it is put last and tells how many there are. */
export function segmentObjectKey(epoch: Epoch, seq: SegmentSeq, part = 0): string {
  const name = `${logPrefix(epoch)}${digits(seq)}`;
  return part === 0 ? name : `${name}.${part}`;
}

/** What the names of an epoch's log segments start with. */
export function logPrefix(epoch: Epoch): string {
  return `${LOG_PREFIX}${digits(epoch)}/`;
}

/** Which part of which segment an object of the log is; undefined when it is none. */
export function parseSegmentObjectKey(key: string): { epoch: Epoch; seq: SegmentSeq; part: number } | undefined {
  const match = /^meta\/log\/(\d{16})\/(\d{16})(?:\.([1-9]\d*))?$/.exec(key);
  if (match === null) return undefined;
  return { epoch: Number(match[1]) as Epoch, seq: Number(match[2]) as SegmentSeq, part: Number(match[3] ?? 0) };
}

/** Where the checkpoint is that holds everything up to and including segment `seq`. */
export function checkpointObjectKey(seq: SegmentSeq): string {
  return `${CHECKPOINT_PREFIX}${digits(seq)}`;
}

/** The segment up to which a checkpoint object holds; undefined when it is none. */
export function parseCheckpointObjectKey(key: string): SegmentSeq | undefined {
  const match = /^meta\/snapshot\/(\d{16})$/.exec(key);
  return match === null ? undefined : (Number(match[1]) as SegmentSeq);
}

/** Where a pack is. The two leading digits spread packs over directories. */
export function packObjectKey(id: PackId): string {
  return `${PACK_PREFIX}${id.slice(0, 2)}/${id}`;
}

/** The pack that an object is; undefined when it is none. */
export function parsePackObjectKey(key: string): PackId | undefined {
  const match = /^pack\/([0-9a-f]{2})\/(\1[0-9a-f]{62})$/.exec(key);
  return match === null ? undefined : (match[2] as PackId);
}

function digits(number: number): string {
  return String(number).padStart(NUMBER_DIGITS, "0");
}
