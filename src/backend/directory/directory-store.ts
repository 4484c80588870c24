import type { BigIntStats } from "node:fs";
import { constants, type FileHandle, lstat, open, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { allocateReadBuffer, ignore } from "../../base/index.js";
import type { DirectoryBackendConfig } from "../backend-config.js";
import { BackendError, isBackendError, throwIfAborted } from "../backend-error.js";
import { assertKeyPrefix, assertObjectKey, probeKey } from "../object-key.js";
import {
  assertByteRange,
  type BackendCapabilities,
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
import { errnoCode, toBackendError } from "./directory-errors.js";
import { listDirectoryPage } from "./directory-list.js";
import { DurableDirectories, syncDirectory } from "./durable-directories.js";
import { linkExclusively } from "./exclusive-link.js";
import { withReplaceLock } from "./replace-lock.js";
import { RootGuard } from "./root-guard.js";
import {
  removeLeftovers,
  TEMPORARY_DIRECTORY,
  type TemporaryFile,
  versionOf,
  writeTemporaryFile,
} from "./temporary-file.js";

/** How often what was replaced on the server in the middle of reading it is read anew. */
const STALE_ATTEMPTS_MAX = 3;

/**
 * Objects as files below a directory, made for network filesystems: an object appears by rename or link of a synced
 * temporary file, and its directory is synced before the put is over. Nothing depends on file locks.
 *
 * `conditionalCreate` is exact where link(2) works. `conditionalReplace` is never claimed: see `replace-lock.ts`.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #temporary: string;
  readonly #guard: RootGuard;
  readonly #directories: DurableDirectories;
  #capabilities = NO_CAPABILITIES;
  /** Until an attempt shows that it is not. */
  #linkSupported = true;
  #leftoversRemoved = false;

  /** Opens a directory; that it is not there shows with the first request. */
  static async open(config: DirectoryBackendConfig): Promise<DirectoryStore> {
    const store = new DirectoryStore(config);
    await store.#guard.remember();
    return store;
  }

  private constructor(config: DirectoryBackendConfig) {
    this.url = config.path;
    this.#root = config.path;
    this.#temporary = join(config.path, TEMPORARY_DIRECTORY);
    this.#guard = new RootGuard(config.path);
    this.#directories = new DurableDirectories(config.path);
  }

  get capabilities(): BackendCapabilities {
    return this.#capabilities;
  }

  async probe(): Promise<BackendCapabilities> {
    return this.#request("probe", async () => {
      const key = probeKey();
      await this.put(key, new Uint8Array(1), { ifAbsent: true });
      await this.delete(key);
      this.#capabilities = { ...NO_CAPABILITIES, conditionalCreate: this.#linkSupported };
      return this.#capabilities;
    });
  }

  async get(key: string, { range, signal }: GetOptions = {}): Promise<StoredObject> {
    assertObjectKey(key);
    assertByteRange(range);
    return this.#request(`get ${key}`, async (what) => {
      throwIfAborted(signal, what);
      const handle = await open(this.#pathOf(key), constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        const stats = await handle.stat({ bigint: true });
        if (!stats.isFile()) throw new BackendError("not-found", `${what}: there is no such object`);
        const sizeBytes = Number(stats.size);
        const { offset, length } = range ?? { offset: 0, length: sizeBytes };
        if (offset + length > sizeBytes) {
          throw new BackendError("bad-response", `${what}: ${offset + length} is beyond its ${sizeBytes} bytes`);
        }
        return { body: await readExactly(handle, offset, length, what, signal), version: versionOf(stats) };
      } finally {
        await handle.close().catch(ignore);
      }
    });
  }

  async put(key: string, body: PutBody, options: PutOptions = {}): Promise<string> {
    assertObjectKey(key);
    const { signal } = options;
    return this.#request(`put ${key}`, async (what) => {
      throwIfAborted(signal, what);
      await this.#guard.check(what);
      try {
        await this.#directories.ensure(this.#temporary);
        await this.#directories.ensure(dirname(this.#pathOf(key)));
        const file = await writeTemporaryFile(this.#temporary, body, what, signal);
        await this.#removeLeftoversOnce(file);
        await this.#publish(key, file, options, what);
        return file.version;
      } catch (error) {
        if (errnoCode(error) !== "ENOENT" && errnoCode(error) !== "ESTALE") throw error;
        // Somebody has removed a directory under us; the next attempt makes it again. Not here: the object may be there
        // by now, and only who repeats the request as a whole can tell (see withRetry).
        this.#directories.forget();
        throw new BackendError("unavailable", `${what}: a directory has vanished`, { cause: error });
      }
    });
  }

  async head(key: string, { signal }: RequestOptions = {}): Promise<ObjectHead | undefined> {
    assertObjectKey(key);
    return this.#request(`head ${key}`, async (what) => {
      throwIfAborted(signal, what);
      const stats = await this.#stat(key);
      if (stats === undefined) await this.#guard.check(what);
      return stats && { sizeBytes: Number(stats.size), version: versionOf(stats) };
    });
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    assertObjectKey(key);
    await this.#request(`delete ${key}`, async (what) => {
      throwIfAborted(signal, what);
      try {
        await unlink(this.#pathOf(key));
      } catch (error) {
        if (errnoCode(error) !== "ENOENT") throw error;
        await this.#guard.check(what);
      }
    });
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    return listByPages(this, prefix, options);
  }

  async listPage(prefix: string, { after = "", signal }: ListOptions = {}): Promise<ListPage> {
    assertKeyPrefix(prefix);
    return this.#request(`list ${prefix}`, async (what) => {
      throwIfAborted(signal, what);
      await this.#guard.check(what);
      return await listDirectoryPage(this.#root, prefix, after);
    });
  }

  async close(): Promise<void> {}

  /** Makes a finished temporary file the object, and removes the temporary name whatever happens. */
  async #publish(key: string, file: TemporaryFile, options: PutOptions, what: string): Promise<void> {
    const path = this.#pathOf(key);
    let isMoved = false;
    const move = async () => {
      await rename(file.path, path);
      isMoved = true;
    };
    try {
      if (options.ifAbsent) await this.#create(key, file, what, move);
      else if (options.ifMatch !== undefined) await this.#replace(key, file, options.ifMatch, what, move);
      else await move();
      await syncDirectory(dirname(path));
    } finally {
      if (!isMoved) await unlink(file.path).catch(ignore);
    }
  }

  async #create(key: string, file: TemporaryFile, what: string, move: () => Promise<void>): Promise<void> {
    const outcome = this.#linkSupported ? await linkExclusively(file, this.#pathOf(key)) : "unsupported";
    if (outcome === "linked") return;
    if (outcome === "taken" || (await this.#stat(key)) !== undefined) {
      throw new BackendError("precondition-failed", `${what}: the object is there already`);
    }
    this.#linkSupported = false;
    this.#capabilities = NO_CAPABILITIES;
    await move();
  }

  async #replace(
    key: string,
    file: TemporaryFile,
    ifMatch: string,
    what: string,
    move: () => Promise<void>,
  ): Promise<void> {
    await withReplaceLock({ directory: this.#temporary, key, file }, async () => {
      const stats = await this.#stat(key);
      if (stats === undefined || versionOf(stats) !== ifMatch) {
        throw new BackendError("precondition-failed", `${what}: the object has changed`);
      }
      await move();
    });
  }

  async #stat(key: string): Promise<BigIntStats | undefined> {
    try {
      const stats = await lstat(this.#pathOf(key), { bigint: true });
      return stats.isFile() ? stats : undefined;
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async #removeLeftoversOnce(file: TemporaryFile): Promise<void> {
    if (this.#leftoversRemoved) return;
    this.#leftoversRemoved = true;
    await removeLeftovers(this.#temporary, file.mtimeMs);
  }

  /** Runs one request: tries again what was stale, says whether "not found" means the object or all of it. */
  async #request<T>(what: string, task: (what: string) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await task(what);
      } catch (error) {
        if (errnoCode(error) === "ESTALE" && attempt < STALE_ATTEMPTS_MAX) continue;
        const failure = toBackendError(error, what);
        if (isBackendError(failure, "not-found")) await this.#guard.check(what);
        throw failure;
      }
    }
  }

  #pathOf(key: string): string {
    return `${this.#root}/${key}`;
  }
}

async function readExactly(
  handle: FileHandle,
  offset: number,
  length: number,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  // Not from Node's shared pool: what is returned may be transferred to another thread.
  const body = allocateReadBuffer(length);
  for (let done = 0; done < length; ) {
    throwIfAborted(signal, what);
    const { bytesRead } = await handle.read(body, done, length - done, offset + done);
    if (bytesRead === 0) throw new BackendError("bad-response", `${what}: ended after ${done} of ${length} bytes`);
    done += bytesRead;
  }
  return new Uint8Array(body.buffer, body.byteOffset, length);
}
