import { type Clock, systemClock, TimeoutError, withTimeout } from "../../base/index.js";
import { BackendError, isBackendError } from "../backend-error.js";
import type { ObjectStore, PutBody, PutOptions } from "../object-store.js";
import { holdsBody } from "./holds-body.js";
import { StoreDecorator, type StoreOperation, type StoreRequest } from "./store-decorator.js";

const DELAY_MS_BASE_DEFAULT = 100;
const DELAY_MS_MAX_DEFAULT = 10_000;

export interface RetryEvent {
  readonly operation: StoreOperation;
  readonly key: string;
  /** The attempt that failed: 1, 2, … */
  readonly attempt: number;
  /** The pause before the next one. */
  readonly delayMs: number;
  readonly error: BackendError;
}

export interface RetryPolicy {
  readonly clock?: Clock;
  /** Default: no limit. */
  readonly attemptsMax?: number;
  /** No attempt starts later than this after the first. Default: no limit. */
  readonly deadlineMs?: number;
  /** A single attempt that takes longer is given up, and counts as unavailable. Default: no limit. */
  readonly attemptTimeoutMs?: number;
  /** The first pause is up to this long, each next one up to twice as long. */
  readonly delayMsBase?: number;
  readonly delayMsMax?: number;
  /** What is worth another attempt. Default: {@link BackendError.retryable}. */
  readonly isRetryable?: (error: BackendError) => boolean;
  readonly onRetry?: (event: RetryEvent) => void;
}

/**
 * Tries again what failed, with exponential back-off and full jitter, which of the usual schemes finishes a crowd's
 * work soonest (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
 *
 * Without limits it goes on for ever, which is right where giving up would lose data; a caller's signal ends it.
 */
export function withRetry(store: ObjectStore, policy: RetryPolicy = {}): ObjectStore {
  return new RetryingStore(store, policy);
}

class RetryingStore extends StoreDecorator {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;

  constructor(inner: ObjectStore, policy: RetryPolicy) {
    super(inner);
    this.#policy = policy;
    this.#clock = policy.clock ?? systemClock;
  }

  /**
   * A conditional put whose answer was lost may have succeeded, and then its own object is what the next attempt
   * meets. So when that is refused, the object decides: if it is what was to be put, it has been put.
   */
  override put(key: string, body: PutBody, options: PutOptions = {}): Promise<string> {
    const isConditional = options.ifAbsent || options.ifMatch !== undefined;
    if (!isConditional) return super.put(key, body, options);
    let attempt = 0;
    return this.around({ operation: "put", key, signal: options.signal }, async (signal) => {
      attempt++;
      try {
        return await this.inner.put(key, body, { ...options, signal });
      } catch (error) {
        if (attempt === 1 || !isBackendError(error, "precondition-failed")) throw error;
        const stored = await this.inner.get(key, { signal }).catch((failure: unknown) => {
          throw isBackendError(failure, "not-found") ? error : failure;
        });
        if (await holdsBody(stored.body, body)) return stored.version;
        throw error;
      }
    });
  }

  protected override async around<T>(
    request: StoreRequest,
    run: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const startMs = this.#clock.monotonicMs();
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(request, run);
      } catch (error) {
        const delayMs = this.#delayBefore(error, attempt, startMs);
        if (delayMs === undefined || !isBackendError(error)) throw error;
        this.#policy.onRetry?.({ operation: request.operation, key: request.key, attempt, delayMs, error });
        await this.#clock.sleep(delayMs, request.signal).catch((reason: unknown) => {
          throw new BackendError("aborted", `${nameOf(request)}: aborted`, { cause: reason });
        });
      }
    }
  }

  async #attempt<T>(request: StoreRequest, run: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    const { attemptTimeoutMs } = this.#policy;
    if (attemptTimeoutMs === undefined) return await run(request.signal);
    const what = nameOf(request);
    try {
      return await withTimeout(run, { clock: this.#clock, timeoutMs: attemptTimeoutMs, what, signal: request.signal });
    } catch (error) {
      if (error instanceof TimeoutError) throw new BackendError("unavailable", error.message, { cause: error });
      if (request.signal?.aborted && !isBackendError(error)) {
        throw new BackendError("aborted", `${what}: aborted`, { cause: error });
      }
      throw error;
    }
  }

  /** Undefined when there is to be no other attempt. */
  #delayBefore(error: unknown, attempt: number, startMs: number): number | undefined {
    const {
      attemptsMax = Number.POSITIVE_INFINITY,
      deadlineMs = Number.POSITIVE_INFINITY,
      delayMsBase = DELAY_MS_BASE_DEFAULT,
      delayMsMax = DELAY_MS_MAX_DEFAULT,
      isRetryable = (failure) => failure.retryable,
    } = this.#policy;
    if (!isBackendError(error) || error.kind === "aborted" || !isRetryable(error) || attempt >= attemptsMax) return;
    const delayMs = this.#clock.random() * Math.min(delayMsMax, delayMsBase * 2 ** (attempt - 1));
    return this.#clock.monotonicMs() - startMs + delayMs > deadlineMs ? undefined : delayMs;
  }
}

function nameOf({ operation, key }: StoreRequest): string {
  return `${operation} ${key}`;
}
