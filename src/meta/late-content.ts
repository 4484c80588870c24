import type { Ino, OpSeq } from "../base/index.js";
import { contentKey, extentKey, type LogEntry, parseKey } from "../format/index.js";
import { contentRecord, extentRecords, type FileContent } from "./content-records.js";
import { operationKey } from "./local-records.js";
import { decodeOperation, encodeOperation, type Operation } from "./operation.js";
import type { StoreTransaction } from "./store.js";

/** Pending operations of a file that has been removed. */
export interface LatePlace {
  /** Makes the file visible. No later one but the removal writes its content. */
  readonly carrier: OpSeq;
  readonly removal: OpSeq;
}

/**
 * Lets the operation that makes a file visible carry the file's content, which was uploaded only after the file was removed
 * here: so the volume has a whole file from there to its removal. No other record changes: the file is not here any more.
 *
 * Nothing hears of it but the operation's own record. After a power loss the journal has the operation without the content,
 * which is then published together with the removal, as if the upload had not ended.
 *
 * @returns false, with nothing done, where one of the operations is no longer pending, or the removal does not know of
 *   all extents of this content and would leave some behind
 */
export function addLateContent(tx: StoreTransaction, ino: Ino, content: FileContent, place: LatePlace): boolean {
  const carrier = operationAt(tx, place.carrier);
  const removal = operationAt(tx, place.removal);
  if (carrier === undefined || removal === undefined) return false;
  const extents = extentRecords(content);
  const removed = extentsIn(removal.entries, ino);
  if (extents.some((_, group) => !removed.has(group))) return false;
  const entries: LogEntry[] = [
    ...carrier.entries.filter((entry) => !isContentOf(entry, ino)),
    { op: "put", key: contentKey(ino), value: contentRecord(content, place.carrier) },
  ];
  // Those of a longer content before this one go, too.
  for (const group of removed) {
    const value = extents[group];
    const key = extentKey(ino, group);
    entries.push(value === undefined ? { op: "delete", key } : { op: "put", key, value });
  }
  tx.put(operationKey(place.carrier), encodeOperation({ ...carrier, entries }));
  return true;
}

function operationAt(tx: StoreTransaction, seq: OpSeq): Operation | undefined {
  const bytes = tx.get(operationKey(seq));
  // A copy: its entries are views of it, and what a store returns is good until the next call.
  return bytes && decodeOperation(seq, Buffer.from(bytes));
}

function isContentOf(entry: LogEntry, ino: Ino): boolean {
  if (entry.op === "touch") return false;
  const key = parseKey(entry.key);
  return (key.kind === "content" || key.kind === "extent") && key.ino === ino;
}

/** The groups of the file's extents that these entries write or delete. */
function extentsIn(entries: readonly LogEntry[], ino: Ino): Set<number> {
  const groups = new Set<number>();
  for (const entry of entries) {
    if (entry.op === "touch") continue;
    const key = parseKey(entry.key);
    if (key.kind === "extent" && key.ino === ino) groups.add(key.group);
  }
  return groups;
}
