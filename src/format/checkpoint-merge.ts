import type { KeyValue } from "./checkpoint-block.js";
import type { LogEntry } from "./records.js";
import { applyTouchToRecord, keyOfEntry } from "./touch.js";

/**
 * The records of a checkpoint after a change, in one pass over both.
 *
 * A touch of a directory that is not there (any more) has no effect. Nothing is held but the change.
 *
 * @param base sorted by key: {@link readCheckpoint}, or nothing for the first checkpoint
 * @param delta sorted by key, one entry per key: {@link coalesce} of the segments after the base, in their order
 * @throws FormatError when a touched record is damaged.
 */
export function* mergeCheckpoint(base: Iterable<KeyValue>, delta: readonly LogEntry[]): Generator<KeyValue, void> {
  let index = 0;
  let entry = delta[0];
  let entryKey = entry === undefined ? undefined : keyOfEntry(entry);
  const advance = (): void => {
    entry = delta[++index];
    entryKey = entry === undefined ? undefined : keyOfEntry(entry);
  };
  for (const record of base) {
    let order = -1;
    while (entry !== undefined && entryKey !== undefined) {
      order = Buffer.compare(record[0], entryKey);
      if (order <= 0) break;
      if (entry.op === "put") yield [entry.key, entry.value];
      advance();
    }
    if (entry === undefined || order < 0) {
      yield record;
      continue;
    }
    if (entry.op === "put") yield [entry.key, entry.value];
    else if (entry.op === "touch") yield [record[0], applyTouchToRecord(record[1], entry)];
    advance();
  }
  for (; entry !== undefined; advance()) if (entry.op === "put") yield [entry.key, entry.value];
}
