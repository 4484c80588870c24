/**
 * Ordered key-value store with atomic transactions: all the metadata layer needs from an engine.
 *
 * Keys are ordered bytewise. A transaction function is pure over the transaction it is given: an engine may run it
 * again. When `transact` returns, the change survives kill -9 of this process; after `sync` it survives power loss
 * as far as the engine's record (docs/decisions/0001) says.
 */
export interface MetaStore {
  read<T>(run: (view: StoreView) => T): T;
  transact<T>(run: (tx: StoreTransaction) => T): T;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface StoreView {
  /** The bytes are valid until the next call; copy to keep. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Records with `start ≤ key < end`, in key order. Bytes are copies. */
  range(
    start: Uint8Array,
    end: Uint8Array,
    options?: { readonly limit?: number; readonly reverse?: boolean },
  ): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
}

export interface StoreTransaction extends StoreView {
  put(key: Uint8Array, value: Uint8Array): void;
  /**
   * A put of a key that sorts behind every key in the store: for bulk loads, faster and packed more tightly. Key and value are
   * lent for the call.
   */
  append(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}
