import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type BackendCapabilities,
  type BackendErrorKind,
  isBackendError,
  type ObjectStore,
} from "../../src/backend/index.js";
import { NO_CAPABILITIES } from "../../src/backend/object-store.js";
import { InvariantError } from "../../src/base/index.js";

export interface ObjectStoreSubject {
  /** A store that is empty. */
  open(): Promise<ObjectStore>;
  /** Another store over the same objects, as another machine would have it. */
  openAgain(store: ObjectStore): Promise<ObjectStore>;
  /** What {@link ObjectStore.probe} has to find; undefined when nobody knows. */
  readonly expected: BackendCapabilities | undefined;
}

const BIG_SIZE_BYTES = 20_000_000;
const RACER_COUNT = 8;

/** What every backend must do, whatever it is made of. */
export function describeObjectStore(name: string, subject: ObjectStoreSubject): void {
  describe(`${name} as an object store`, () => {
    let store: ObjectStore;
    let scratch: string;

    beforeAll(async () => {
      scratch = await mkdtemp(join(tmpdir(), "podfs-contract-"));
      store = await subject.open();
    });

    afterAll(async () => {
      for await (const { key } of store.list("")) await store.delete(key);
      await store.close();
      await rm(scratch, { recursive: true, force: true });
    });

    it("probes which conditions it honours, and leaves nothing behind", async () => {
      expect(store.capabilities).toEqual(NO_CAPABILITIES);
      const found = await store.probe();
      if (subject.expected !== undefined) expect(found).toEqual(subject.expected);
      expect(store.capabilities).toEqual(found);
      expect(await keysOf(store, "")).toEqual([]);
    });

    it("gives back what was put, with the version that the put returned", async () => {
      const version = await store.put("a/b/object-1.x_y", bytesOf("content"));
      const object = await store.get("a/b/object-1.x_y");
      expect(textOf(object.body)).toBe("content");
      expect(object.body.constructor).toBe(Uint8Array);
      expect(object.version).toBe(version);
      expect(await store.head("a/b/object-1.x_y")).toEqual({ sizeBytes: 7, version });
    });

    it("keeps an empty object", async () => {
      await store.put("empty/memory", new Uint8Array(0));
      expect((await store.get("empty/memory")).body).toHaveLength(0);
      const path = join(scratch, "empty");
      await writeFile(path, "");
      await store.put("empty/file", { path, sizeBytes: 0 });
      expect((await store.head("empty/file"))?.sizeBytes).toBe(0);
    });

    it("shows what it put to another machine at once, and changes the version with the content", async () => {
      const other = await subject.openAgain(store);
      const first = await store.put("shared", bytesOf("one"));
      expect(textOf((await other.get("shared")).body)).toBe("one");
      const second = await other.put("shared", bytesOf("two!"));
      expect(second).not.toBe(first);
      expect(await store.head("shared")).toEqual({ sizeBytes: 4, version: second });
      await other.close();
    });

    it("does not keep hold of the bytes it was given", async () => {
      const bytes = bytesOf("before");
      await store.put("borrowed", bytes);
      bytes.fill(0);
      expect(textOf((await store.get("borrowed")).body)).toBe("before");
    });

    describe("ranges", () => {
      beforeAll(async () => {
        await store.put("range", bytesOf("0123456789"));
      });

      it.each([
        [0, 1, "0"],
        [0, 10, "0123456789"],
        [3, 4, "3456"],
        [9, 1, "9"],
      ])("gives %i+%i as asked", async (offset, length, expected) => {
        expect(textOf((await store.get("range", { range: { offset, length } })).body)).toBe(expected);
      });

      it.each([
        [0, 11],
        [5, 6],
        [10, 1],
        [4000, 10],
      ])("refuses %i+%i, which is not wholly inside", async (offset, length) => {
        await expectKind(store.get("range", { range: { offset, length } }), "bad-response");
      });

      it.each([
        [0, 0],
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [0, Number.NaN],
      ])("takes %d+%d for a bug", async (offset, length) => {
        await expect(store.get("range", { range: { offset, length } })).rejects.toThrow(InvariantError);
      });

      it("of what is not there is not found", async () => {
        await expectKind(store.get("nothing", { range: { offset: 0, length: 1 } }), "not-found");
      });
    });

    it("puts a file of 20 MB and gives any part of it back", async () => {
      const bytes = new Uint8Array(BIG_SIZE_BYTES);
      for (let index = 0; index < bytes.length; index++) bytes[index] = (index * 31) ^ (index >> 11);
      const path = join(scratch, "big");
      await writeFile(path, bytes);
      await store.put("big/file", { path, sizeBytes: bytes.length });
      expect(Buffer.compare((await store.get("big/file")).body, bytes)).toBe(0);
      const range = { offset: 12_345_678, length: 4_000_000 };
      const part = await store.get("big/file", { range });
      expect(Buffer.compare(part.body, bytes.subarray(range.offset, range.offset + range.length))).toBe(0);
    });

    it("blames the local file when that is missing or shorter than announced, and puts nothing", async () => {
      const path = join(scratch, "short");
      await writeFile(path, "short");
      await expectKind(store.put("local/short", { path, sizeBytes: 500_000 }), "local-file");
      await expectKind(store.put("local/missing", { path: join(scratch, "missing"), sizeBytes: 10 }), "local-file");
      expect(await keysOf(store, "local/")).toEqual([]);
    });

    it("shows readers one whole object or the other while it is replaced", async () => {
      const sizeBytes = 300_000;
      await store.put("replaced", new Uint8Array(sizeBytes).fill(1));
      let isOver = false;
      const writing = (async () => {
        for (let value = 2; value < 12; value++) await store.put("replaced", new Uint8Array(sizeBytes).fill(value));
        isOver = true;
      })();
      const seen = new Set<number>();
      while (!isOver) {
        const { body } = await store.get("replaced");
        expect(body.length).toBe(sizeBytes);
        expect(body.every((byte) => byte === body[0])).toBe(true);
        seen.add(body[0] ?? 0);
      }
      await writing;
      expect(seen.size).toBeGreaterThan(0);
    });

    it("does not find what is not there", async () => {
      await expectKind(store.get("missing/object"), "not-found");
      expect(await store.head("missing/object")).toBeUndefined();
      await store.put("directory/object", bytesOf("x"));
      await expectKind(store.get("directory"), "not-found");
      expect(await store.head("directory")).toBeUndefined();
    });

    it("deletes, and deletes what is not there", async () => {
      await store.put("deleted/object", bytesOf("x"));
      await store.delete("deleted/object");
      expect(await store.head("deleted/object")).toBeUndefined();
      await store.delete("deleted/object");
      await store.delete("deleted/never/was");
    });

    describe("lists", () => {
      const keys = ["list/a", "list/a-b/c", "list/a.b", "list/a/b", "list/a/c/d", "list/ab", "list/b/0", "listen"];
      // "a" cannot be an object and a directory in a filesystem.
      const stored = keys.filter((key) => key !== "list/a");

      beforeAll(async () => {
        for (const key of stored) await store.put(key, bytesOf(key));
      });

      it("objects below a prefix in key order, with their sizes", async () => {
        const listed = [];
        for await (const object of store.list("list/")) listed.push(object);
        const expected = stored.filter((key) => key.startsWith("list/")).sort();
        expect(listed).toEqual(expected.map((key) => ({ key, sizeBytes: key.length })));
      });

      it.each(["", "list", "list/a", "list/a/", "list/a/c", "list/b/0", "list/zzz", "nothing/at/all"])(
        "for the prefix '%s' what starts with it",
        async (prefix) => {
          const listed = (await keysOf(store, prefix)).filter((key) => key.startsWith("list"));
          expect(listed).toEqual(stored.filter((key) => key.startsWith(prefix)).sort());
        },
      );

      it("what sorts behind a key", async () => {
        const page = await store.listPage("list", { after: "list/a/b" });
        expect(page.objects.map(({ key }) => key)).toEqual(["list/a/c/d", "list/ab", "list/b/0", "listen"]);
        expect((await store.listPage("list", { after: "list/a/bb" })).objects[0]?.key).toBe("list/a/c/d");
      });

      it("more objects than fit one page", async () => {
        const expected = Array.from(
          { length: 1005 },
          (_, index) => `many/${index % 7}/${String(index).padStart(5, "0")}`,
        );
        for (let start = 0; start < expected.length; start += 50) {
          await Promise.all(expected.slice(start, start + 50).map((key) => store.put(key, new Uint8Array(1))));
        }
        expect(await keysOf(store, "many/")).toEqual(expected.sort());
      });
    });

    describe("conditional puts", () => {
      it("create only what is not there", async () => {
        await store.put("create/once", bytesOf("first"), { ifAbsent: true });
        await expectKind(store.put("create/once", bytesOf("second"), { ifAbsent: true }), "precondition-failed");
        expect(textOf((await store.get("create/once")).body)).toBe("first");
        await store.delete("create/once");
        await store.put("create/once", bytesOf("third"), { ifAbsent: true });
      });

      it("replace only the version they were told", async () => {
        const first = await store.put("replace/once", bytesOf("first"));
        const second = await store.put("replace/once", bytesOf("second"), { ifMatch: first });
        await expectKind(store.put("replace/once", bytesOf("other"), { ifMatch: first }), "precondition-failed");
        expect(await store.get("replace/once")).toEqual({ body: bytesOf("second"), version: second });
        await expectKind(store.put("replace/never", bytesOf("x"), { ifMatch: first }), "precondition-failed");
        expect(await store.head("replace/never")).toBeUndefined();
      });

      it(`let ${RACER_COUNT} racing creators agree on one`, async () => {
        for (let round = 0; round < 5; round++) {
          const key = `race/create-${round}`;
          const winners = await race((body) => store.put(key, body, { ifAbsent: true }));
          if (store.capabilities.conditionalCreate) expect(winners).toHaveLength(1);
          expect(winners.map(String)).toContain(textOf((await store.get(key)).body));
        }
      });

      it(`let ${RACER_COUNT} racing replacers agree on one`, async () => {
        for (let round = 0; round < 5; round++) {
          const key = `race/replace-${round}`;
          const version = await store.put(key, bytesOf("start"));
          const winners = await race((body) => store.put(key, body, { ifMatch: version }));
          if (store.capabilities.conditionalReplace) expect(winners).toHaveLength(1);
          expect(winners.map(String)).toContain(textOf((await store.get(key)).body));
        }
      });
    });

    it.each([
      "",
      "/",
      "/absolute",
      "a//b",
      "a/",
      ".",
      "..",
      "../escape",
      "a/../../escape",
      "a/./b",
      ".hidden",
      "Upper",
      "space here",
      "a\\b",
      "a\0b",
      "ümlaut",
      "a\n",
      "%2e%2e/x",
      "x".repeat(256),
      `${"y/".repeat(400)}y`,
    ])("refuses %j as a key", async (key) => {
      await expect(store.get(key)).rejects.toThrow(InvariantError);
      await expect(store.put(key, bytesOf("x"))).rejects.toThrow(InvariantError);
      await expect(store.head(key)).rejects.toThrow(InvariantError);
      await expect(store.delete(key)).rejects.toThrow(InvariantError);
    });

    it.each(["/", "../", "a/../b", ".podfs-tmp", "A"])("refuses %j as a prefix", async (prefix) => {
      await expect(keysOf(store, prefix)).rejects.toThrow(InvariantError);
    });

    it("does nothing for a caller who has aborted", async () => {
      const signal = AbortSignal.abort();
      await store.put("abort/there", bytesOf("x"));
      await expectKind(store.put("abort/object", bytesOf("x"), { signal }), "aborted");
      await expectKind(store.get("abort/there", { signal }), "aborted");
      await expectKind(store.head("abort/there", { signal }), "aborted");
      await expectKind(store.delete("abort/there", { signal }), "aborted");
      await expectKind(store.listPage("abort/", { signal }), "aborted");
      expect(await keysOf(store, "abort/")).toEqual(["abort/there"]);
    });
  });
}

/** @returns the numbers of those that succeeded. */
async function race(put: (body: Uint8Array) => Promise<string>): Promise<number[]> {
  const racers = Array.from({ length: RACER_COUNT }, async (_, index) => {
    try {
      await put(bytesOf(String(index)));
      return [index];
    } catch (error) {
      if (isBackendError(error, "precondition-failed", "unavailable")) return [];
      throw error;
    }
  });
  return (await Promise.all(racers)).flat();
}

async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

export async function expectKind(promise: Promise<unknown>, kind: BackendErrorKind): Promise<void> {
  const outcome = await promise.then(
    () => "success",
    (error: unknown) => (isBackendError(error) ? error.kind : error),
  );
  expect(outcome).toBe(kind);
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
