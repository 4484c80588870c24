import { createHash, randomBytes } from "node:crypto";
import { isBackendError, type ObjectStore } from "../../backend/index.js";
import type { BackendCheck } from "./result.js";

/** What the checks of a backend work with. */
export interface CheckSite {
  readonly store: ObjectStore;
  readonly signal: AbortSignal;
  readonly largeBytes: number;
}

type Finding = Pick<BackendCheck, "outcome" | "detail">;

export interface Check extends Pick<BackendCheck, "id" | "title" | "need" | "without"> {
  run(site: CheckSite): Promise<Finding>;
}

const OVERWRITES = 10;
const LISTED = 12;
const SMALL_BYTES = 4096;

const BY_BACKEND = "the backend itself checks the condition";
const BY_PODFS = "podfs has to look first, and then put";

const ok = (detail: string): Finding => ({ outcome: "ok", detail });
const weak = (detail: string): Finding => ({ outcome: "weak", detail });
const failed = (detail: string): Finding => ({ outcome: "failed", detail });
const equal = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

/** In the order of a volume's life; the first shows whether the backend can be used at all. */
export const CHECKS: readonly Check[] = [
  {
    id: "put-get",
    title: "an object comes back as it was put",
    need: "everything: a volume is nothing but objects",
    without: "nothing can be stored here",
    run: async ({ store, signal }) => {
      const body = randomBytes(SMALL_BYTES);
      await store.put("check/small", body, { signal });
      const { body: back } = await store.get("check/small", { signal });
      return equal(back, body) ? ok(`${SMALL_BYTES} bytes`) : failed("other bytes came back");
    },
  },
  {
    id: "range",
    title: "part of an object can be read",
    need: "reading a chunk out of a pack",
    without: "every miss would fetch a whole pack; podfs refuses such answers and reads fail",
    run: async ({ store, signal }) => {
      const body = randomBytes(SMALL_BYTES);
      await store.put("check/range", body, { signal });
      const ranges = [
        { offset: 0, length: 1 },
        { offset: 1000, length: 2000 },
        { offset: SMALL_BYTES - 1, length: 1 },
      ];
      for (const range of ranges) {
        const { offset, length } = range;
        const { body: part } = await store.get("check/range", { range, signal });
        if (!equal(part, body.subarray(offset, offset + length))) return failed(`wrong bytes for ${offset}+${length}`);
      }
      return ok("first byte, middle, last byte");
    },
  },
  {
    id: "overwrite-visibility",
    title: "a read after an overwrite sees the new object",
    need: "the lease: who holds it is read again after every renewal",
    without: "a writer may believe in a lease it has lost; use one mount at a time",
    run: async ({ store, signal }) => {
      for (let round = 0; round < OVERWRITES; round++) {
        const body = Buffer.from(`round ${round} `.repeat(round + 1));
        const version = await store.put("check/overwritten", body, { signal });
        const { body: back, version: seen } = await store.get("check/overwritten", { signal });
        if (!equal(back, body)) return failed(`an old object was read after overwrite ${round}`);
        if (seen !== version) return failed("the version tag of a put is not that of the get after it");
        const head = await store.head("check/overwritten", { signal });
        if (head?.sizeBytes !== body.length) return failed(`HEAD showed an old object after overwrite ${round}`);
      }
      return ok(`${OVERWRITES} overwrites`);
    },
  },
  {
    id: "create-if-absent",
    title: "of several creations of one object, one succeeds",
    need: "making a volume, and numbering the segments of its log",
    without: "podfs looks before it puts: two machines that begin at the same moment may both go on",
    run: async ({ store, signal }) => {
      await store.probe();
      await store.put("check/created", Buffer.from("first"), { ifAbsent: true, signal });
      const second = store.put("check/created", Buffer.from("second"), { ifAbsent: true, signal });
      if (!(await isRefused(second))) return failed("an object that was there was overwritten");
      return store.capabilities.conditionalCreate ? ok(BY_BACKEND) : weak(BY_PODFS);
    },
  },
  {
    id: "compare-and-swap",
    title: "of several replacements of one version, one succeeds",
    need: "taking over and renewing the lease that keeps writers apart",
    without: "podfs looks, puts, and looks again after a pause: only a writer that stalls in between can go wrong",
    run: async ({ store, signal }) => {
      const first = await store.put("check/swapped", Buffer.from("first"), { signal });
      await store.put("check/swapped", Buffer.from("second"), { ifMatch: first, signal });
      const stale = store.put("check/swapped", Buffer.from("third"), { ifMatch: first, signal });
      if (!(await isRefused(stale))) return failed("a version that was replaced could be replaced again");
      return store.capabilities.conditionalReplace ? ok(BY_BACKEND) : weak(BY_PODFS);
    },
  },
  {
    id: "list",
    title: "a list shows what was just put, in order, and goes on where it stopped",
    need: "finding checkpoints and the log at mount, and garbage later",
    without: "a mount may start from an old state of the volume",
    run: async ({ store, signal }) => {
      const keys = Array.from({ length: LISTED }, (_, index) => `list/${String(index * 7).padStart(4, "0")}`);
      for (const key of keys.toReversed()) await store.put(key, Buffer.from(key), { signal });
      const seen = await listed(store, "list/", undefined, signal);
      if (seen.join() !== keys.join()) return failed(`${seen.length} of ${keys.length} objects, or in another order`);
      const rest = await listed(store, "list/", keys[4], signal);
      if (rest.join() !== keys.slice(5).join()) return failed("a list that should start behind a key does not");
      return ok(`${keys.length} objects`);
    },
  },
  {
    id: "delete",
    title: "a deleted object is gone, and deleting it again is no error",
    need: "removing old checkpoints, logs and garbage",
    without: "volumes only grow, or old metadata is found again",
    run: async ({ store, signal }) => {
      await store.put("gone/object", Buffer.from("x"), { signal });
      await store.delete("gone/object", { signal });
      await store.delete("gone/object", { signal });
      if ((await store.head("gone/object", { signal })) !== undefined) return failed("HEAD still shows it");
      if (!(await isMissing(store.get("gone/object", { signal })))) return failed("it can still be read");
      const left = await listed(store, "gone/", undefined, signal);
      return left.length === 0 ? ok("HEAD, GET and list agree") : failed("a list still shows it");
    },
  },
  {
    id: "keys",
    title: "every key podfs uses is kept as it is",
    need: "names of packs, segments and checkpoints",
    without: "objects get lost, or overwrite each other",
    run: async ({ store, signal }) => {
      const keys = [
        "keys/0123456789abcdefghijklmnopqrstuvwxyz._-",
        `keys/${"deep/".repeat(8)}object`,
        `keys/${"long-".repeat(40)}`,
        "keys/0000000000000001/0000000000000002.3",
      ];
      for (const key of keys) await store.put(key, Buffer.from(key), { signal });
      for (const key of keys) {
        const { body } = await store.get(key, { signal });
        if (Buffer.from(body).toString() !== key) return failed(`${key} holds another object`);
      }
      const seen = await listed(store, "keys/", undefined, signal);
      return seen.length === keys.length ? ok(`${keys.length} keys`) : failed("a list shows other keys");
    },
  },
  {
    id: "large-object",
    title: "a large object comes back as it was put",
    need: "packs, which are up to 64 MiB",
    without: "large files cannot be stored",
    run: async ({ store, signal, largeBytes }) => {
      const body = randomBytes(largeBytes);
      await store.put("check/large", body, { signal });
      const head = await store.head("check/large", { signal });
      if (head?.sizeBytes !== largeBytes) return failed(`${head?.sizeBytes ?? 0} of ${largeBytes} bytes arrived`);
      const { body: back } = await store.get("check/large", { signal });
      const isSame = digest(back) === digest(body);
      return isSame ? ok(`${largeBytes / 2 ** 20} MiB`) : failed("other bytes came back");
    },
  },
];

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function isRefused(put: Promise<string>): Promise<boolean> {
  return put.then(
    () => false,
    (error: unknown) => {
      if (isBackendError(error, "precondition-failed")) return true;
      throw error;
    },
  );
}

async function isMissing(get: Promise<unknown>): Promise<boolean> {
  return get.then(
    () => false,
    (error: unknown) => {
      if (isBackendError(error, "not-found")) return true;
      throw error;
    },
  );
}

async function listed(
  store: ObjectStore,
  prefix: string,
  after: string | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, { after, signal })) keys.push(key);
  return keys;
}
