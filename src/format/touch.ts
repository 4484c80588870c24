import { FormatError } from "./format-error.js";
import { directoryTimesKey } from "./keys.js";
import { decodeDirectoryTimes, encodeDirectoryTimes } from "./record-codecs.js";
import type { DirectoryTimes, LogEntry } from "./records.js";

/** Change of a directory's times and link count. */
export type TouchEntry = Extract<LogEntry, { readonly op: "touch" }>;

/**
 * A directory's times after a touch. Touches commute: link deltas add up, and the times are those of the highest
 * seq, so a reader that meets them in another order than they happened ends with the same record.
 *
 * @throws FormatError malformed when the links would become fewer than none.
 */
export function applyTouch(times: DirectoryTimes, entry: Omit<TouchEntry, "op" | "ino">): DirectoryTimes {
  const nlink = times.nlink + entry.nlinkDelta;
  if (nlink < 0) throw new FormatError("malformed", `a directory of ${times.nlink} links loses ${-entry.nlinkDelta}`);
  if (entry.seq <= times.seq) return entry.nlinkDelta === 0 ? times : { ...times, nlink };
  return { mtime: entry.mtime, ctime: entry.ctime, nlink, seq: entry.seq };
}

/** {@link applyTouch} on an encoded record. @throws FormatError when `record` is damaged. */
export function applyTouchToRecord(record: Uint8Array, entry: TouchEntry): Buffer {
  return encodeDirectoryTimes(applyTouch(decodeDirectoryTimes(record), entry));
}

/** One touch with the effect of both, in either order. Both are of the same directory. */
export function combineTouches(a: TouchEntry, b: TouchEntry): TouchEntry {
  const later = b.seq > a.seq ? b : a;
  return { ...later, nlinkDelta: a.nlinkDelta + b.nlinkDelta };
}

/** The key an entry changes. */
export function keyOfEntry(entry: LogEntry): Uint8Array {
  return entry.op === "touch" ? directoryTimesKey(entry.ino) : entry.key;
}
