import { type Clock, systemClock } from "../../base/index.js";
import { isBackendError } from "../backend-error.js";
import type { StoredObject } from "../object-store.js";
import { bodySizeBytes, type GetOptions, type ObjectStore, type PutBody, type PutOptions } from "../object-store.js";
import { StoreDecorator, type StoreOperation, type StoreRequest } from "./store-decorator.js";

/**
 * What has been asked of a backend, as plain numbers that can be sent between threads and added. Requests count when
 * they are over, failed ones too; bytes only when they arrived.
 */
export interface StoreCounters {
  puts: number;
  gets: number;
  heads: number;
  deletes: number;
  /** Pages, not listings. */
  lists: number;
  putBytes: number;
  getBytes: number;
  /** Counted by whoever is told of them: {@link RetryPolicy.onRetry}. */
  retries: number;
  /** Requests that failed; not those answered by "not found" or "precondition failed", nor those aborted. */
  errors: number;
  /** Sums of how long requests took. */
  putMs: number;
  getMs: number;
  /** Of heads, deletes and lists. */
  otherMs: number;
}

export function createCounters(): StoreCounters {
  return {
    puts: 0,
    gets: 0,
    heads: 0,
    deletes: 0,
    lists: 0,
    putBytes: 0,
    getBytes: 0,
    retries: 0,
    errors: 0,
    putMs: 0,
    getMs: 0,
    otherMs: 0,
  };
}

/** Adds `more` to `counters`. */
export function addCounters(counters: StoreCounters, more: Readonly<StoreCounters>): void {
  for (const name of Object.keys(counters) as (keyof StoreCounters)[]) counters[name] += more[name];
}

/**
 * Counts every request into `counters`. Belongs innermost, so that attempts count and not intentions, and waiting for
 * a place is not taken for a slow backend. A probe, which is a dozen requests once, does not count.
 */
export function withMeter(store: ObjectStore, counters: StoreCounters, clock: Clock = systemClock): ObjectStore {
  return new MeteredStore(store, counters, clock);
}

const COUNTER_BY_OPERATION: Record<Exclude<StoreOperation, "probe">, keyof StoreCounters> = {
  put: "puts",
  get: "gets",
  head: "heads",
  delete: "deletes",
  list: "lists",
};

class MeteredStore extends StoreDecorator {
  readonly #counters: StoreCounters;
  readonly #clock: Clock;

  constructor(inner: ObjectStore, counters: StoreCounters, clock: Clock) {
    super(inner);
    this.#counters = counters;
    this.#clock = clock;
  }

  override async get(key: string, options?: GetOptions): Promise<StoredObject> {
    const object = await super.get(key, options);
    this.#counters.getBytes += object.body.byteLength;
    return object;
  }

  override async put(key: string, body: PutBody, options?: PutOptions): Promise<string> {
    const version = await super.put(key, body, options);
    this.#counters.putBytes += bodySizeBytes(body);
    return version;
  }

  protected override async around<T>(
    { operation, signal }: StoreRequest,
    run: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    if (operation === "probe") return await run(signal);
    const startMs = this.#clock.monotonicMs();
    try {
      return await run(signal);
    } catch (error) {
      if (!isBackendError(error, "not-found", "precondition-failed", "aborted")) this.#counters.errors++;
      throw error;
    } finally {
      this.#counters[COUNTER_BY_OPERATION[operation]]++;
      const durationMs = this.#clock.monotonicMs() - startMs;
      if (operation === "put") this.#counters.putMs += durationMs;
      else if (operation === "get") this.#counters.getMs += durationMs;
      else this.#counters.otherMs += durationMs;
    }
  }
}
