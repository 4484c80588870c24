import { assert } from "../base/index.js";

/** Half-open byte range of an object: `[offset, offset + length)`, length ≥ 1. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** What a put sends: bytes in memory, or a whole local file (streamed, never loaded at once). */
export type PutBody = Uint8Array | { readonly path: string; readonly sizeBytes: number };

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface GetOptions extends RequestOptions {
  readonly range?: ByteRange | undefined;
  /**
   * Memory that the store may put the body into, when it is long enough: {@link StoredObject.body} is then a view of
   * it. Written to until the promise settles; after a failure or a time-out perhaps longer, so use it for nothing else.
   */
  readonly into?: Uint8Array | undefined;
}

/**
 * Without the capability, a condition is checked as well as the backend can: look first, then put. Writers that race
 * may then both succeed. At most one of the two conditions may be given.
 */
export interface PutOptions extends RequestOptions {
  /** Only if no such object exists. Exact with {@link BackendCapabilities.conditionalCreate}. */
  readonly ifAbsent?: boolean | undefined;
  /** Only if the object still has this version tag. Exact with {@link BackendCapabilities.conditionalReplace}. */
  readonly ifMatch?: string | undefined;
}

export interface ListOptions extends RequestOptions {
  /** Only keys that sort behind this one. */
  readonly after?: string | undefined;
}

export interface ObjectInfo {
  readonly key: string;
  readonly sizeBytes: number;
}

export interface ListPage {
  readonly objects: readonly ObjectInfo[];
  /** Pass it as {@link ListOptions.after} for the next page; undefined at the end. */
  readonly next: string | undefined;
}

export interface StoredObject {
  readonly body: Uint8Array;
  /**
   * Opaque version tag (ETag; for a directory, derived from inode, size and mtime). Different contents have different
   * tags; equal contents may have the same.
   */
  readonly version: string;
}

export interface ObjectHead {
  readonly sizeBytes: number;
  readonly version: string;
}

export interface BackendCapabilities {
  /** Of any number of racing `ifAbsent` puts exactly one succeeds. */
  readonly conditionalCreate: boolean;
  /** Of any number of racing `ifMatch` puts exactly one succeeds. */
  readonly conditionalReplace: boolean;
  /**
   * The server checks bodies: it has told the CRC-32 of one that it was sent. False where nobody needs to know: over TLS,
   * and of a directory.
   */
  readonly checksBodies: boolean;
}

export const NO_CAPABILITIES: BackendCapabilities = {
  conditionalCreate: false,
  conditionalReplace: false,
  checksBodies: false,
};

/**
 * Immutable objects under string keys: the whole of what podfs asks from a bucket or a directory.
 *
 * Keys are relative to the volume's prefix, `/`-separated, of `[a-z0-9._-]` components that do not start with a dot
 * (see `object-key.ts`); anything else is a bug of the caller and an InvariantError. A put is atomic: readers see
 * nothing or all of it, and when it resolves the object survives the loss of this machine. Reads after a put see it.
 *
 * Every method @throws BackendError. Nothing here retries; {@link withRetry} does.
 */
export interface ObjectStore {
  /** Where this is, for people: no credentials in it. */
  readonly url: string;
  /** Known after {@link probe}, or from a store that has done it; all false before. */
  readonly capabilities: BackendCapabilities;
  /** Finds out, with objects under `probe/` that it deletes again, what the backend really does. */
  probe(): Promise<BackendCapabilities>;
  /**
   * Where the first GET into memory of the caller would take longer than others, does what that is (credentials, code to
   * load) without asking the backend. Nobody need call it.
   */
  prepareGets?(): Promise<void>;
  /** @throws BackendError not-found; bad-response when a range is not wholly inside the object. */
  get(key: string, options?: GetOptions): Promise<StoredObject>;
  /**
   * @param body Borrowed until the promise settles.
   * @returns the version tag of what was put.
   * @throws BackendError precondition-failed.
   */
  put(key: string, body: PutBody, options?: PutOptions): Promise<string>;
  /** Undefined when there is no such object. */
  head(key: string, options?: RequestOptions): Promise<ObjectHead | undefined>;
  /** Deleting what is not there succeeds. */
  delete(key: string, options?: RequestOptions): Promise<void>;
  /**
   * Objects whose key starts with `prefix`, in key order (bytewise). What podfs cannot have put there (other names,
   * leftovers of a crash) is left out. Not for hot paths.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo>;
  /** One request's worth of {@link list}; may be empty and still have a next one. */
  listPage(prefix: string, options?: ListOptions): Promise<ListPage>;
  close(): Promise<void>;
}

/** {@link ObjectStore.list} for all stores: page after page. */
export async function* listByPages(
  store: Pick<ObjectStore, "listPage">,
  prefix: string,
  options: ListOptions = {},
): AsyncGenerator<ObjectInfo, void, undefined> {
  let after = options.after;
  do {
    const page = await store.listPage(prefix, { after, signal: options.signal });
    yield* page.objects;
    after = page.next;
  } while (after !== undefined);
}

export function bodySizeBytes(body: PutBody): number {
  return body instanceof Uint8Array ? body.byteLength : body.sizeBytes;
}

/** @throws InvariantError: an empty range cannot be said in HTTP. */
export function assertByteRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const { offset, length } = range;
  const isRange = Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 1;
  assert(isRange, `${offset}+${length} is not a byte range`);
}
