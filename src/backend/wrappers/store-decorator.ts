import {
  type BackendCapabilities,
  type GetOptions,
  type ListOptions,
  type ListPage,
  listByPages,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type PutBody,
  type PutOptions,
  type RequestOptions,
  type StoredObject,
} from "../object-store.js";

export type StoreOperation = "get" | "put" | "head" | "delete" | "list" | "probe";

export interface StoreRequest {
  readonly operation: StoreOperation;
  /** The prefix of a list, empty for a probe. */
  readonly key: string;
  readonly signal: AbortSignal | undefined;
}

/** A store around another one. What it adds is in {@link around}, through which every request passes. */
export abstract class StoreDecorator implements ObjectStore {
  protected readonly inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  /**
   * @param run Sends the request; may be called any number of times.
   */
  protected abstract around<T>(request: StoreRequest, run: (signal: AbortSignal | undefined) => Promise<T>): Promise<T>;

  get url(): string {
    return this.inner.url;
  }

  get capabilities(): BackendCapabilities {
    return this.inner.capabilities;
  }

  probe(): Promise<BackendCapabilities> {
    return this.around({ operation: "probe", key: "", signal: undefined }, () => this.inner.probe());
  }

  get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    return this.around({ operation: "get", key, signal: options.signal }, (signal) =>
      this.inner.get(key, { ...options, signal }),
    );
  }

  put(key: string, body: PutBody, options: PutOptions = {}): Promise<string> {
    return this.around({ operation: "put", key, signal: options.signal }, (signal) =>
      this.inner.put(key, body, { ...options, signal }),
    );
  }

  head(key: string, options: RequestOptions = {}): Promise<ObjectHead | undefined> {
    return this.around({ operation: "head", key, signal: options.signal }, (signal) =>
      this.inner.head(key, { ...options, signal }),
    );
  }

  delete(key: string, options: RequestOptions = {}): Promise<void> {
    return this.around({ operation: "delete", key, signal: options.signal }, (signal) =>
      this.inner.delete(key, { ...options, signal }),
    );
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    return listByPages(this, prefix, options);
  }

  listPage(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    return this.around({ operation: "list", key: prefix, signal: options.signal }, (signal) =>
      this.inner.listPage(prefix, { ...options, signal }),
    );
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
