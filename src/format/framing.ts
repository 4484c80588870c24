import { asBuffer, HASH_LENGTH_BYTES } from "./fields.js";
import { FormatError } from "./format-error.js";
import { hashOf } from "./hash.js";

/**
 * What all binary objects have in common (FORMATS, section "Common rules"): eight bytes of magic, a version, a
 * checksum. The place of these three never changes, so that any podfs can tell damage from news.
 */

/** The newest format this podfs reads, and the one it writes. */
export const FORMAT_VERSION = 1;

export const MAGIC_LENGTH_BYTES = 8;
export const CHECKSUM_LENGTH_BYTES = HASH_LENGTH_BYTES;

/** Eight ASCII characters that say what an object is. On disk: never changed. */
export const Magic = {
  segment: "PODFSLOG",
  checkpoint: "PODFSCKP",
  checkpointEnd: "PODFSEND",
  pack: "PODFSPAK",
} as const;
export type Magic = (typeof Magic)[keyof typeof Magic];

/** @throws FormatError truncated, bad-magic. */
export function expectMagic(what: string, bytes: Uint8Array, offset: number, magic: Magic): void {
  const found = asBuffer(bytes).toString("latin1", offset, offset + MAGIC_LENGTH_BYTES);
  if (found === magic) return;
  if (found.length < MAGIC_LENGTH_BYTES) throw truncated(what, bytes.length);
  throw new FormatError("bad-magic", `not a ${what}: it has ${JSON.stringify(found)} where ${magic} should be`);
}

/** @throws FormatError too-new. Call it after the checksum: a damaged version is damage, not news. */
export function expectVersion(what: string, version: number): void {
  if (version === FORMAT_VERSION) return;
  if (version > FORMAT_VERSION) {
    throw new FormatError(
      "too-new",
      `${what} has format version ${version}; this podfs reads versions up to ${FORMAT_VERSION}: use a newer podfs`,
    );
  }
  throw new FormatError("malformed", `${what} has format version ${version}, which never was`);
}

/** Checks that `bytes[end … end + 32)` is the checksum of `bytes[start … end)`. @throws FormatError bad-checksum. */
export function expectChecksum(what: string, bytes: Uint8Array, start: number, end: number): void {
  if (bytes.length < end + CHECKSUM_LENGTH_BYTES) throw truncated(what, bytes.length);
  const expected = bytes.subarray(end, end + CHECKSUM_LENGTH_BYTES);
  if (!hashOf(bytes.subarray(start, end)).equals(expected)) {
    throw new FormatError("bad-checksum", `${what} is damaged: its ${end - start} bytes do not match their checksum`);
  }
}

export function truncated(what: string, length: number): FormatError {
  return new FormatError("truncated", `${what} ends after ${length} bytes`);
}
