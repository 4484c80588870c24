import { setImmediate as nextTurn } from "node:timers/promises";
import type { LogEntry } from "../../format/index.js";
import { SHARED_RANGE } from "../local-records.js";
import { applyEntries, type ChangedKeys, collectChange } from "../log/apply-segment.js";
import { type StoreRecord, scan } from "../scan.js";
import type { MetaStore } from "../store.js";
import { readPosition, writePosition } from "../volume-position.js";

const SLICE_ENTRIES = 1000;

/**
 * Makes the shared records of `store` those of `loaded`, changing only what differs; local records stay, except of
 * files that are gone. For a store in use whose volume's log does not reach back to it any more.
 */
export async function adoptState(loaded: MetaStore, store: MetaStore, changes?: ChangedKeys): Promise<void> {
  let slice: LogEntry[] = [];
  const apply = () => {
    store.transact((tx) => {
      const position = readPosition(tx);
      writePosition(tx, { ...position, totals: applyEntries(tx, slice, position.totals) });
    });
    if (changes !== undefined) for (const entry of slice) collectChange(changes, entry);
    slice = [];
  };
  let compared = 0;
  for (const entry of differences(scan(store, SHARED_RANGE), scan(loaded, SHARED_RANGE))) {
    if (entry !== undefined) slice.push(entry);
    if (slice.length >= SLICE_ENTRIES) apply();
    if (++compared % SLICE_ENTRIES === 0) await nextTurn();
  }
  apply();
  store.transact((tx) => {
    const { ownEpochs } = readPosition(tx);
    writePosition(tx, { ...loaded.read(readPosition), ownEpochs });
  });
}

/** What turns `before` into `after`, both in key order; undefined for each record that is the same. */
function* differences(
  before: Iterator<StoreRecord>,
  after: Iterator<StoreRecord>,
): Generator<LogEntry | undefined, void> {
  let old = before.next();
  let now = after.next();
  while (old.done !== true || now.done !== true) {
    const order = old.done === true ? 1 : now.done === true ? -1 : Buffer.compare(old.value[0], now.value[0]);
    if (order < 0 && old.done !== true) yield { op: "delete", key: old.value[0] };
    if (order >= 0 && now.done !== true) {
      const [key, value] = now.value;
      const same = order === 0 && old.done !== true && Buffer.compare(old.value[1], value) === 0;
      yield same ? undefined : { op: "put", key, value };
    }
    if (order <= 0) old = before.next();
    if (order >= 0) now = after.next();
  }
}
