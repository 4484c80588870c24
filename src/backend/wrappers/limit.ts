import { Limiter } from "../../base/index.js";
import { BackendError } from "../backend-error.js";
import type { ObjectStore } from "../object-store.js";
import { StoreDecorator, type StoreRequest } from "./store-decorator.js";

/**
 * Lets at most `countMax` requests run at once; the others wait in order. Belongs inside {@link withRetry}, so that a
 * request that waits for its next attempt holds no place.
 */
export function withLimit(store: ObjectStore, countMax: number): ObjectStore {
  return new LimitedStore(store, countMax);
}

class LimitedStore extends StoreDecorator {
  readonly #limiter: Limiter;

  constructor(inner: ObjectStore, countMax: number) {
    super(inner);
    this.#limiter = new Limiter(countMax);
  }

  protected override async around<T>(
    { operation, key, signal }: StoreRequest,
    run: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const release = await this.#limiter.acquire(signal).catch((reason: unknown) => {
      throw new BackendError("aborted", `${operation} ${key}: aborted`, { cause: reason });
    });
    try {
      return await run(signal);
    } finally {
      release();
    }
  }
}
