import { type KeyValue, keyOfEntry, type LogEntry, mergeCheckpoint } from "../../format/index.js";

const SLICE_ENTRIES = 1_000;

/**
 * {@link mergeCheckpoint} with a change that is read as it goes: slice by slice, each with the records up to its last key.
 *
 * @param base sorted by key @param delta sorted by key, one entry per key
 */
export function* mergeStream(base: Iterable<KeyValue>, delta: Iterable<LogEntry>): Generator<KeyValue, void> {
  const records = new Records(base);
  for (const slice of slicesOf(delta)) {
    const last = slice.at(-1);
    if (last !== undefined) yield* mergeCheckpoint(records.upTo(keyOfEntry(last)), slice);
  }
  yield* records.upTo(undefined);
}

function* slicesOf(entries: Iterable<LogEntry>): Generator<readonly LogEntry[], void> {
  let slice: LogEntry[] = [];
  for (const entry of entries) {
    slice.push(entry);
    if (slice.length < SLICE_ENTRIES) continue;
    yield slice;
    slice = [];
  }
  yield slice;
}

/** Sorted records, taken range by range. */
class Records {
  readonly #iterator: Iterator<KeyValue>;
  #current: IteratorResult<KeyValue>;

  constructor(records: Iterable<KeyValue>) {
    this.#iterator = records[Symbol.iterator]();
    this.#current = this.#iterator.next();
  }

  /** Those not taken yet with keys up to this one; all when undefined. A record is the taker's until he takes the next. */
  *upTo(key: Uint8Array | undefined): Generator<KeyValue, void> {
    while (this.#current.done !== true) {
      if (key !== undefined && Buffer.compare(this.#current.value[0], key) > 0) return;
      yield this.#current.value;
      this.#current = this.#iterator.next();
    }
  }
}
