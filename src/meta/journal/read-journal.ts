import { readFile } from "node:fs/promises";
import type { Ino, OpSeq } from "../../base/index.js";
import { decodeFrames, type JournalBase } from "./journal-frame.js";

/** What the journal says was pending when the machine stopped. */
export interface JournalContents {
  readonly base: JournalBase;
  /** Encoded operations that the volume is not known to have, in seq order. */
  readonly operations: readonly (readonly [OpSeq, Uint8Array])[];
  /** Encoded local images of dirty files. */
  readonly dirty: readonly (readonly [Ino, Uint8Array])[];
}

/** Undefined when there is no journal, or not even its first frame. */
export async function readJournal(path: string): Promise<JournalContents | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  let base: JournalBase | undefined;
  const operations = new Map<OpSeq, Uint8Array>();
  const shipped = new Set<OpSeq>();
  const dirty = new Map<Ino, Uint8Array>();
  for (const record of decodeFrames(bytes)) {
    switch (record.kind) {
      case "base":
        base = record.base;
        break;
      case "operation":
        operations.set(record.seq, record.bytes);
        break;
      case "dirty":
        dirty.set(record.ino, record.bytes);
        break;
      case "clean":
        dirty.delete(record.ino);
        break;
      case "shipped":
        for (const seq of record.seqs) shipped.add(seq);
        break;
    }
  }
  if (base === undefined) return undefined;
  const pending = [...operations].filter(([seq]) => !shipped.has(seq)).sort(([a], [b]) => a - b);
  return { base, operations: pending, dirty: [...dirty] };
}
