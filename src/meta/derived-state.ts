import type { OpSeq } from "../base/index.js";
import { type PackNumber, packPrefix, parseKey, prefixEnd } from "../format/index.js";
import { LocalRange, numberOfKey } from "./local-records.js";
import { type Totals, totalsOfOperation } from "./operation.js";
import type { StoreView } from "./store.js";
import { readPosition } from "./volume-position.js";

/** What follows from the records of a loaded store, and is kept in memory while it is used. */
export interface DerivedState {
  /** Above every operation in the volume, and every pending one. */
  readonly nextSeq: OpSeq;
  readonly nextPack: PackNumber;
  readonly totals: Totals;
}

export function deriveState(view: StoreView): DerivedState {
  const { lastSeq, totals } = readPosition(view);
  const { start, end } = LocalRange.operations;
  const [lastOperation] = view.range(start, end, { limit: 1, reverse: true });
  const [lastPack] = view.range(packPrefix(), prefixEnd(packPrefix()), { limit: 1, reverse: true });
  const pack = lastPack === undefined ? undefined : parseKey(lastPack[0]);
  const nextPack = pack?.kind === "pack" ? pack.number + 1 : 1;
  const lastPending = lastOperation === undefined ? 0 : numberOfKey(lastOperation[0]);
  // The later of the two knows: a position is written whenever operations are shipped, with what is true then.
  if (lastOperation === undefined || lastPending <= lastSeq)
    return { nextSeq: (lastSeq + 1) as OpSeq, nextPack, totals };
  return { nextSeq: (lastPending + 1) as OpSeq, nextPack, totals: totalsOfOperation(lastOperation[1]) };
}
