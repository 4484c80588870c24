import type { Ino, OpSeq } from "../../base/index.js";
import { LocalRange, localKey, numberOfKey } from "../local-records.js";
import { scan } from "../scan.js";
import type { MetaStore } from "../store.js";
import type { JournalRecord } from "./journal-frame.js";

/** What a new journal begins with: all pending operations and dirty files of the store. */
export function* pendingRecords(store: MetaStore): Generator<JournalRecord, void> {
  for (const [key, bytes] of scan(store, LocalRange.operations)) {
    yield { kind: "operation", seq: numberOfKey(key) as OpSeq, bytes };
  }
  for (const [key] of scan(store, LocalRange.dirty)) {
    const ino = numberOfKey(key) as Ino;
    const bytes = store.read((view) => {
      const record = view.get(localKey(ino));
      return record && Buffer.from(record);
    });
    if (bytes !== undefined) yield { kind: "dirty", ino, bytes };
  }
}
