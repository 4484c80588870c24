import { randomBytes } from "node:crypto";
import { ABORT, type RootDatabase } from "lmdb";
import { type Clock, InvariantError, type Timer } from "../../base/index.js";
import type { StoreTransaction } from "../store.js";
import { type BatchId, type MapFile, RedoLog, type RedoRecord } from "./redo-log.js";

/** LMDB's flag for a transaction that can be rolled back. */
export const ABORTABLE = 1;
/** No record of podfs has a key that starts with a zero byte. */
const BATCH_KEY = Buffer.from("\0batch", "latin1");
/** A batch may use no more pages than the reserve has, 3,072: a record takes less than three, splits included. */
const BATCH_RECORDS_MAX = 1_000;
const BATCH_BYTES_MAX = 512 << 10;
/** What is read by others of this process is in the transaction; the delay only bounds how much is redone. */
const COMMIT_DELAY_MS = 100;

export interface GroupCommitTools {
  readonly database: RootDatabase<Buffer, Buffer>;
  readonly transaction: StoreTransaction;
  readonly reserve: () => void;
  readonly redoPath: string;
  readonly clock: Clock;
  /** Absent: the redo log is written by write(2). */
  readonly mapFile?: MapFile | undefined;
}

/**
 * Many transactions of the store in one of LMDB, which stays open from one turn of the event loop to the next: each of
 * ours then costs its records and one write(2) to the redo log, instead of new copies of all pages on the way to them.
 *
 * Invariants: while #commit is defined, LMDB's transaction is open and holds exactly what the redo log has, and it is the
 * batch #id. The store's record under BATCH_KEY is the last batch that was committed.
 */
export class GroupCommit {
  readonly #tools: GroupCommitTools;
  readonly #redo: RedoLog;
  readonly #recording: StoreTransaction;
  #id: BatchId;
  #records = 0;
  #commit: ((result: unknown) => void) | undefined;
  #timer: Timer | undefined;

  /** Redoes what an earlier process had not committed. */
  constructor(tools: GroupCommitTools) {
    this.#tools = tools;
    this.#redo = new RedoLog(tools.redoPath, tools.mapFile);
    this.#recording = this.#recorded(tools.transaction);
    this.#id = this.#recover();
  }

  /** Not to be nested. Whatever `run` throws rolls it back. @throws MetaError no-space */
  transact<T>(run: (tx: StoreTransaction) => T): T {
    if (this.#commit === undefined) this.#begin();
    try {
      const value = run(this.#recording);
      if (this.#redo.frameRecords > 0) this.#log();
      return value;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** Ends the batch, so that another one may begin. */
  commit(): void {
    const commit = this.#commit;
    if (commit === undefined) return;
    this.#commit = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    try {
      commit(undefined);
    } catch (error) {
      // Callers were told that these changes are safe. They are: in the redo log, for the next start.
      throw new InvariantError("the metadata store cannot commit", error);
    }
    this.#redo.reset();
    this.#records = 0;
    this.#id = following(this.#id);
  }

  close(): void {
    this.commit();
    this.#redo.close();
  }

  #begin(): void {
    this.#tools.reserve();
    this.#open();
    this.#timer = this.#tools.clock.setTimer(COMMIT_DELAY_MS, () => this.commit());
  }

  #open(): void {
    const { database, transaction } = this.#tools;
    // lmdb keeps a transaction open until what its callback returns is settled; settling it here commits at once.
    const staysOpen: unknown = {
      // biome-ignore lint/suspicious/noThenProperty: it is a promise to lmdb, which tells us how to settle it
      then: (commit: (result: unknown) => void) => {
        this.#commit = commit;
      },
    };
    database.transactionSync((): unknown => staysOpen, ABORTABLE);
    transaction.put(BATCH_KEY, encodeBatchId(this.#id));
  }

  #log(): void {
    this.#records += this.#redo.frameRecords;
    // What is too large for the log is committed at once, which is as good.
    const { frameOverflowed } = this.#redo;
    if (!frameOverflowed) this.#redo.writeFrame(this.#id);
    const isFull = this.#records >= BATCH_RECORDS_MAX || this.#redo.sizeBytes >= BATCH_BYTES_MAX;
    if (frameOverflowed || isFull) this.commit();
  }

  /** LMDB cannot undo a part of its transaction: it is begun again, and what came before redone. */
  #rollBack(): void {
    const isUntouched = this.#redo.frameRecords === 0;
    this.#redo.beginFrame();
    if (isUntouched || this.#commit === undefined) return;
    this.#commit(ABORT);
    this.#open();
    apply(this.#tools.transaction, this.#redo.records());
  }

  /** Returns the batch that comes next. */
  #recover(): BatchId {
    const found = this.#tools.transaction.get(BATCH_KEY);
    // Also of the first batch must be known, when it is redone, whose it is.
    const committed =
      found === undefined ? this.#commitAtOnce({ store: randomBytes(8), batch: 0 }, []) : decodeBatchId(found);
    const next = following(committed);
    const records = this.#redo.readBack(next);
    return records.length === 0 ? next : following(this.#commitAtOnce(next, records));
  }

  #commitAtOnce(id: BatchId, records: readonly RedoRecord[]): BatchId {
    const { database, transaction, reserve } = this.#tools;
    reserve();
    database.transactionSync(() => {
      apply(transaction, records);
      transaction.put(BATCH_KEY, encodeBatchId(id));
    }, ABORTABLE);
    return id;
  }

  #recorded(transaction: StoreTransaction): StoreTransaction {
    const redo = this.#redo;
    return {
      get: (key) => transaction.get(key),
      range: (start, end, options) => transaction.range(start, end, options),
      put(key, value) {
        redo.add(key, value);
        transaction.put(key, value);
      },
      append(key, value) {
        redo.add(key, value);
        transaction.append(key, value);
      },
      delete(key) {
        redo.add(key, undefined);
        transaction.delete(key);
      },
    };
  }
}

function apply(transaction: StoreTransaction, records: Iterable<RedoRecord>): void {
  for (const [key, value] of records) {
    if (value === undefined) transaction.delete(key);
    else transaction.put(key, value);
  }
}

function following({ store, batch }: BatchId): BatchId {
  return { store, batch: batch + 1 };
}

function encodeBatchId({ store, batch }: BatchId): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.set(store);
  bytes.writeDoubleLE(batch, 8);
  return bytes;
}

function decodeBatchId(record: Uint8Array): BatchId {
  const bytes = Buffer.from(record);
  return { store: bytes.subarray(0, 8), batch: bytes.readDoubleLE(8) };
}
