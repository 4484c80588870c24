import { asBuffer } from "./fields.js";
import type { LogEntry } from "./records.js";
import { applyTouchToRecord, combineTouches, keyOfEntry, type TouchEntry } from "./touch.js";

/**
 * The same change with one entry per key, sorted by key.
 *
 * A later put or delete replaces what was before it. A touch is applied to a put before it, added to a touch before
 * it, and has no effect after a delete: there is no such directory any more.
 *
 * @param entries in the order in which they happened
 * @throws FormatError when a touched record is damaged.
 */
export function coalesce(entries: Iterable<LogEntry>): LogEntry[] {
  const byKey = new Map<string, LogEntry>();
  for (const entry of entries) {
    // One char per byte: strings then compare as bytes do, and make cheap map keys.
    const key = asBuffer(keyOfEntry(entry)).toString("latin1");
    const before = byKey.get(key);
    byKey.set(key, entry.op === "touch" && before !== undefined ? afterTouch(before, entry) : entry);
  }
  return [...byKey].sort(byKeyOrder).map(([, entry]) => entry);
}

function afterTouch(before: LogEntry, touch: TouchEntry): LogEntry {
  switch (before.op) {
    case "put":
      return { op: "put", key: before.key, value: applyTouchToRecord(before.value, touch) };
    case "delete":
      return before;
    case "touch":
      return combineTouches(before, touch);
  }
}

function byKeyOrder([a]: readonly [string, LogEntry], [b]: readonly [string, LogEntry]): number {
  return a < b ? -1 : 1;
}
