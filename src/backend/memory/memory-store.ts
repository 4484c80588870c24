import { readFile } from "node:fs/promises";
import { BackendError, throwIfAborted } from "../backend-error.js";
import { assertKeyPrefix, assertObjectKey } from "../object-key.js";
import {
  assertByteRange,
  type BackendCapabilities,
  bodySizeBytes,
  type GetOptions,
  type ListOptions,
  type ListPage,
  listByPages,
  NO_CAPABILITIES,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type PutBody,
  type PutOptions,
  type RequestOptions,
  type StoredObject,
} from "../object-store.js";

const PAGE_COUNT_MAX = 1000;

/** A backend that lives and dies with the process; for tests, with every promise of the contract kept. */
export class MemoryStore implements ObjectStore {
  readonly url = "memory:";
  readonly #objects = new Map<string, StoredObject>();
  #capabilities = NO_CAPABILITIES;
  #versionCount = 0;

  get capabilities(): BackendCapabilities {
    return this.#capabilities;
  }

  async probe(): Promise<BackendCapabilities> {
    this.#capabilities = { ...NO_CAPABILITIES, conditionalCreate: true, conditionalReplace: true };
    return this.#capabilities;
  }

  async get(key: string, { range, signal }: GetOptions = {}): Promise<StoredObject> {
    assertObjectKey(key);
    assertByteRange(range);
    throwIfAborted(signal, `get ${key}`);
    const object = this.#objects.get(key);
    if (object === undefined) throw new BackendError("not-found", `get ${key}: there is no such object`);
    if (range === undefined) return { body: copyOf(object.body), version: object.version };
    const end = range.offset + range.length;
    if (end > object.body.byteLength) {
      throw new BackendError(
        "bad-response",
        `get ${key}: ${end} is beyond the object's ${object.body.byteLength} bytes`,
      );
    }
    return { body: copyOf(object.body.subarray(range.offset, end)), version: object.version };
  }

  async put(key: string, body: PutBody, { ifAbsent, ifMatch, signal }: PutOptions = {}): Promise<string> {
    assertObjectKey(key);
    throwIfAborted(signal, `put ${key}`);
    const bytes = body instanceof Uint8Array ? copyOf(body) : await readLocalFile(key, body.path);
    if (bytes.byteLength !== bodySizeBytes(body)) {
      throw new BackendError("local-file", `put ${key}: the local file has ${bytes.byteLength} bytes`);
    }
    const before = this.#objects.get(key);
    if (ifAbsent && before !== undefined) throw preconditionFailed(key, "is there already");
    if (ifMatch !== undefined && before?.version !== ifMatch) throw preconditionFailed(key, "has changed");
    const version = String(++this.#versionCount);
    this.#objects.set(key, { body: bytes, version });
    return version;
  }

  async head(key: string, { signal }: RequestOptions = {}): Promise<ObjectHead | undefined> {
    assertObjectKey(key);
    throwIfAborted(signal, `head ${key}`);
    const object = this.#objects.get(key);
    return object && { sizeBytes: object.body.byteLength, version: object.version };
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    assertObjectKey(key);
    throwIfAborted(signal, `delete ${key}`);
    this.#objects.delete(key);
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    return listByPages(this, prefix, options);
  }

  async listPage(prefix: string, { after = "", signal }: ListOptions = {}): Promise<ListPage> {
    assertKeyPrefix(prefix);
    throwIfAborted(signal, `list ${prefix}`);
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, PAGE_COUNT_MAX);
    return {
      objects: page.map((key) => ({ key, sizeBytes: this.#objects.get(key)?.body.byteLength ?? 0 })),
      next: keys.length > page.length ? page.at(-1) : undefined,
    };
  }

  async close(): Promise<void> {}
}

async function readLocalFile(key: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BackendError("local-file", `put ${key}: cannot read the local file: ${String(error)}`, { cause: error });
  }
}

/** Not slice(), which for a Buffer is no copy. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function preconditionFailed(key: string, why: string): BackendError {
  return new BackendError("precondition-failed", `put ${key}: the object ${why}`);
}
