import type { MetaStore } from "./store.js";

export type StoreRecord = readonly [key: Uint8Array, value: Uint8Array];

const SLICE_RECORDS = 256;

/** A range of records in key order, read slice by slice: transactions may run between any two records. */
export function* scan(
  store: MetaStore,
  range: { readonly start: Uint8Array; readonly end: Uint8Array },
): Generator<StoreRecord, void> {
  let { start } = range;
  for (;;) {
    const records = store.read((view) => Array.from(view.range(start, range.end, { limit: SLICE_RECORDS })));
    yield* records;
    const last = records.at(-1);
    if (last === undefined || records.length < SLICE_RECORDS) return;
    // The least key above the last one.
    start = Buffer.concat([last[0], Buffer.of(0)]);
  }
}
