import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { open, type RootDatabase } from "lmdb";
import { assert, type Clock } from "../../base/index.js";
import { MetaError } from "../meta-error.js";
import type { MetaStore, StoreTransaction } from "../store.js";
import { FileReserve } from "./file-reserve.js";
import { ABORTABLE, GroupCommit } from "./group-commit.js";
import type { MapFile } from "./redo-log.js";

const READERS_MAX = 16;
/**
 * Address space, and the apparent size of a sparse file: enough for some ten million files. When LMDB needs more, lmdb-js
 * maps the file anew at twice the size and keeps the old mapping until the end (mdb_env_set_mapsize in its mdb.c): then
 * pages are mapped, and count as resident, several times over.
 */
const MAP_SIZE_BYTES = 4 * 2 ** 30;
const APPEND = { append: true };
/** How many transactions may pass between two looks at the room left. */
const RESERVE_CHECK_INTERVAL = 64;

export interface LmdbStoreOptions {
  /**
   * Gathers transactions: for a store in use, whose transactions are many and small. Without it each one is committed by
   * itself, as bulk loads want it.
   */
  readonly groupCommit?: { readonly clock: Clock; readonly mapFile?: MapFile };
}

/**
 * {@link MetaStore} in one LMDB file of this machine.
 *
 * Transactions are synchronous and are not synced: the file is a shared mapping, so what was committed is the
 * kernel's and survives this process; what is gathered for a group commit is in a redo log beside it until then. Neither
 * survives the machine: after a power loss the files must not be opened (docs/decisions/0001, 0004).
 */
export class LmdbStore implements MetaStore {
  readonly #database: RootDatabase<Buffer, Buffer>;
  readonly #reserve: FileReserve;
  readonly #transaction: StoreTransaction;
  readonly #group: GroupCommit | undefined;
  #untilReserveCheck = 0;
  #closed = false;

  /** Opens, or creates with the folder it is in, readable by the user alone. */
  constructor(path: string, { groupCommit }: LmdbStoreOptions = {}) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#database = open<Buffer, Buffer>({
      path,
      noSubdir: true,
      noSync: true,
      overlappingSync: false,
      keyEncoding: "binary",
      encoding: "binary",
      maxReaders: READERS_MAX,
      mapSize: MAP_SIZE_BYTES,
    } as Parameters<typeof open>[0]) as RootDatabase<Buffer, Buffer>;
    // Not by umask: that is the whole process's, and a worker thread may not set it.
    for (const file of [path, `${path}-lock`]) chmodSync(file, 0o600);
    this.#reserve = new FileReserve(path);
    this.#transaction = transactionOver(this.#database);
    this.#group =
      groupCommit &&
      new GroupCommit({
        database: this.#database,
        transaction: this.#transaction,
        reserve: () => this.#checkReserve(),
        redoPath: redoPathOf(path),
        clock: groupCommit.clock,
        mapFile: groupCommit.mapFile,
      });
  }

  read<T>(run: (view: StoreTransaction) => T): T {
    this.#expectOpen();
    return run(this.#transaction);
  }

  /** Not to be nested. Whatever `run` throws rolls it back. @throws MetaError no-space, closed. */
  transact<T>(run: (tx: StoreTransaction) => T): T {
    this.#expectOpen();
    if (this.#group !== undefined) return this.#group.transact(run);
    if (this.#untilReserveCheck-- <= 0) this.#checkReserve();
    return this.#database.transactionSync(() => run(this.#transaction), ABORTABLE);
  }

  async sync(): Promise<void> {
    this.#expectOpen();
    this.#group?.commit();
    await this.#reserve.sync();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#group?.close();
    this.#reserve.close();
    await this.#database.close();
  }

  #checkReserve(): void {
    const { lastPageNumber, pageSize, mapSize } = this.#database.getStats() as LmdbStatistics;
    this.#reserve.ensure((lastPageNumber + 1) * pageSize, mapSize);
    this.#untilReserveCheck = RESERVE_CHECK_INTERVAL;
  }

  #expectOpen(): void {
    if (this.#closed) throw new MetaError("closed", "the metadata store is closed");
  }
}

/** Where the redo log of the store at `path` is. */
export function redoPathOf(path: string): string {
  return `${path}-redo`;
}

interface LmdbStatistics {
  readonly lastPageNumber: number;
  readonly pageSize: number;
  readonly mapSize: number;
}

function transactionOver(database: RootDatabase<Buffer, Buffer>): StoreTransaction {
  return {
    get(key) {
      // getBinaryFast answers with one buffer for all gets, whose `length` is the value's but whose memory is longer.
      const value = database.getBinaryFast(key as Buffer);
      return value?.subarray(0, value.length);
    },
    *range(start, end, options = {}) {
      const { limit, reverse = false } = options;
      const entries = database.getRange({
        ...(reverse
          ? { start: end as Buffer, end: start as Buffer, reverse, exclusiveStart: true, inclusiveEnd: true }
          : { start: start as Buffer, end: end as Buffer }),
        ...(limit === undefined ? {} : { limit }),
      });
      for (const { key, value } of entries) yield [key, value] as const;
    },
    put(key, value) {
      database.putSync(key as Buffer, value as Buffer);
    },
    append(key, value) {
      const stored = database.putSync(key as Buffer, value as Buffer, APPEND) as unknown as boolean;
      assert(stored, "a record was appended that does not sort behind all others");
    },
    delete(key) {
      database.removeSync(key as Buffer);
    },
  };
}
