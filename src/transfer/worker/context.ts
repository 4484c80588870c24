import {
  createCounters,
  createObjectStore,
  type ObjectStore,
  type RequestOptions,
  type StoreCounters,
  withLimit,
  withMeter,
  withRetry,
} from "../../backend/index.js";
import { ignore } from "../../base/index.js";
import { loadCompressor } from "../../format/index.js";
import type { CountersDelta, WorkerSetup } from "../jobs.js";
import { Buffers } from "./buffers.js";

/** An attempt that takes longer than this is dead, not slow: a pack in 10 min is 1 Mbit/s. */
const PUT_TIMEOUT_MS = 600_000;
const GET_TIMEOUT_MS = 120_000;

type Request<T> = (store: ObjectStore, options: RequestOptions) => Promise<T>;

/** What the jobs of one worker thread share: the backend, opened once, and what has been asked of it. */
export class WorkerContext {
  readonly url: string;
  readonly #fetchStore: ObjectStore;
  readonly #putStore: ObjectStore;
  // Invariant: what was counted and not yet taken by takeCounters().
  readonly #counters: StoreCounters;
  #lastError: string | undefined;
  readonly #buffers = new Buffers();
  readonly #retryListeners = new Set<() => void>();

  static async open(setup: WorkerSetup): Promise<WorkerContext> {
    const [store] = await Promise.all([createObjectStore(setup.backend, setup.capabilities), loadCompressor()]);
    // What is wrong, the first job says.
    await store.prepareGets?.().catch(ignore);
    return new WorkerContext(store, setup);
  }

  private constructor(store: ObjectStore, setup: WorkerSetup) {
    const counters = createCounters();
    const limited = withLimit(withMeter(store, counters), setup.requestsMax);
    const onRetry = ({ error }: { readonly error: Error }): void => {
      counters.retries++;
      this.#lastError = error.message;
      for (const listener of this.#retryListeners) listener();
    };
    this.url = store.url;
    this.#counters = counters;
    this.#fetchStore = withRetry(limited, {
      deadlineMs: setup.fetchDeadlineMs,
      attemptTimeoutMs: Math.min(GET_TIMEOUT_MS, setup.fetchDeadlineMs),
      onRetry,
    });
    // No limit: giving up would lose what only this machine has.
    this.#putStore = withRetry(limited, { attemptTimeoutMs: PUT_TIMEOUT_MS, onRetry });
  }

  /** Asks the backend for something a reader waits for: retried until the deadline. */
  fetching<T>(signal: AbortSignal, request: Request<T>): Promise<T> {
    return request(this.#fetchStore, { signal });
  }

  /** Gives the backend something: retried for ever. */
  storing<T>(signal: AbortSignal, request: Request<T>): Promise<T> {
    return request(this.#putStore, { signal });
  }

  /**
   * Lends a buffer of at least `lengthBytes` for requests and what is done with their bytes.
   *
   * @param use Resolves when nobody is at it any more. After a failure or a retry that is not certain (an attempt that
   *   was given up may hang in the kernel, and go on one day), so the buffer is not used again.
   */
  async lend<T>(lengthBytes: number, use: (buffer: Buffer) => Promise<T>): Promise<T> {
    let isFree = true;
    const endListening = this.onRetry(() => {
      isFree = false;
    });
    const buffer = this.#buffers.take(lengthBytes);
    try {
      return await use(buffer);
    } catch (error) {
      isFree = false;
      throw error;
    } finally {
      endListening();
      if (isFree) this.#buffers.give(buffer);
      else this.#buffers.drop(buffer);
    }
  }

  /** Hears of every attempt that failed and is made again. Returns what ends that. */
  onRetry(listener: () => void): () => void {
    this.#retryListeners.add(listener);
    return () => this.#retryListeners.delete(listener);
  }

  /** Counters since the last call; the caller passes them on. */
  takeCounters(): CountersDelta {
    const taken = { ...this.#counters, lastError: this.#lastError };
    Object.assign(this.#counters, createCounters());
    this.#lastError = undefined;
    return taken;
  }
}
