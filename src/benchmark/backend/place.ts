import { randomBytes } from "node:crypto";
import { access, constants, mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type BackendConfig, createObjectStore, type ObjectStore, openBackend } from "../../backend/index.js";
import { ignore, Limiter, systemClock, UserError, withTimeout } from "../../base/index.js";

const DELETES_AT_ONCE = 16;
const REMOVE_MS_MAX = 60_000;
const REMOVE_NOTHING_MS_MAX = 5_000;
/** More keys are told apart than any benchmark makes. */
const NAME_BYTES = 6;

/** A folder of its own in a backend, for objects that are gone afterwards. */
export interface BackendPlace {
  readonly store: ObjectStore;
  /** The backend without the folder; no credentials in it. */
  readonly url: string;
  readonly kind: BackendConfig["kind"];
  /** Whether there is anything to remove, as far as is known. */
  readonly written: boolean;
  /** Deletes everything in it, whether it was written to the end or not. */
  remove(): Promise<void>;
}

/**
 * Makes `podfs-bench-<random>/` below the URL.
 * @throws UserError when the URL, or the directory it names, is not usable; BackendError.
 */
export async function makePlace(url: string): Promise<BackendPlace> {
  const config = openBackend(url);
  const folder = `podfs-bench-${randomBytes(NAME_BYTES).toString("hex")}`;
  return config.kind === "directory" ? directoryPlace(config, folder) : bucketPlace(config, folder);
}

type ConfigOf<Kind extends BackendConfig["kind"]> = Extract<BackendConfig, { readonly kind: Kind }>;

/** The store's own leftovers (emptied directories, temporary files) are below the folder, too. */
async function directoryPlace(config: ConfigOf<"directory">, folder: string): Promise<BackendPlace> {
  await checkDirectory(config.path);
  const path = join(config.path, folder);
  await mkdir(path, { mode: 0o700 });
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 3 });
  try {
    const store = await createObjectStore({ ...config, path });
    return { store, url: config.path, kind: config.kind, written: true, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function checkDirectory(path: string): Promise<void> {
  try {
    if (!(await stat(path)).isDirectory()) throw new UserError(`${path} is not a directory`);
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case "ENOENT":
      case "ENOTDIR":
        throw new UserError(`the directory ${path} does not exist: a typing error, or not mounted?`, error);
      case "EACCES":
      case "EPERM":
        throw new UserError(`${path} may not be written by this user`, error);
      case "EROFS":
        throw new UserError(`${path} is on a read-only filesystem`, error);
      default:
        throw error;
    }
  }
}

async function bucketPlace(config: ConfigOf<"s3">, folder: string): Promise<BackendPlace> {
  const prefix = config.prefix === "" ? folder : `${config.prefix}/${folder}`;
  const inner = await createObjectStore({ ...config, prefix });
  const written = new Set<string>();
  let arrived = false;
  return {
    store: remembering(inner, written, () => {
      arrived = true;
    }),
    url: inner.url.replace(new RegExp(`/?${folder}`), ""),
    kind: config.kind,
    get written() {
      return arrived;
    },
    remove: () => removeObjects(inner, written),
  };
}

/** What was put may be missing in a list, and a list may show what nobody remembers (a put that seemed to fail). */
async function removeObjects(store: ObjectStore, written: ReadonlySet<string>): Promise<void> {
  const keys = new Set(written);
  let listError: unknown;
  try {
    for await (const { key } of store.list("")) keys.add(key);
  } catch (error) {
    listError = error;
  }
  const limiter = new Limiter(DELETES_AT_ONCE);
  const outcomes = await Promise.allSettled([...keys].map((key) => limiter.run(() => deleteSurely(store, key))));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  if (listError !== undefined) throw listError;
}

async function deleteSurely(store: ObjectStore, key: string): Promise<void> {
  await store.delete(key).catch(() => store.delete(key));
}

/** The store, with every key that is put noted before the request leaves, and that one has arrived. */
function remembering(store: ObjectStore, written: Set<string>, onArrived: () => void): ObjectStore {
  return new Proxy(store, {
    get: (target, property) => {
      if (property === "put") {
        return async (...[key, body, options]: Parameters<ObjectStore["put"]>) => {
          written.add(key);
          const version = await target.put(key, body, options);
          onArrived();
          return version;
        };
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** What is left behind is said, not thrown: whatever failed before matters more. */
export async function removePlace(place: BackendPlace, onLeft: (message: string) => void): Promise<void> {
  const timeoutMs = place.written ? REMOVE_MS_MAX : REMOVE_NOTHING_MS_MAX;
  await withTimeout(() => place.remove(), { clock: systemClock, timeoutMs, what: "removing it" }).catch((error) => {
    // One that could not be reached at all holds nothing of ours.
    if (!place.written) return;
    const reason = error instanceof Error ? error.message : String(error);
    onLeft(`what was written to ${place.store.url} could not be removed: ${reason}`);
  });
  await place.store.close().catch(ignore);
}
