import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/base/index.js";
import { LmdbStore } from "../../src/meta/lmdb/lmdb-store.js";
import { MetaError } from "../../src/meta/meta-error.js";
import type { MetaStore } from "../../src/meta/store.js";

const bytes = (text: string) => Buffer.from(text, "latin1");
const text = (value: Uint8Array | undefined) => value && Buffer.from(value).toString("latin1");

interface Engine {
  readonly name: string;
  open(folder: string): MetaStore;
}

const engines: readonly Engine[] = [
  { name: "lmdb", open: (folder) => new LmdbStore(join(folder, "meta.lmdb")) },
  {
    name: "lmdb, group commit",
    open: (folder) => new LmdbStore(join(folder, "meta.lmdb"), { groupCommit: { clock: systemClock } }),
  },
];

describe.each(engines)("MetaStore contract: $name", ({ open }) => {
  let folder: string;
  let store: MetaStore;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "podfs-meta-store-"));
    store = open(folder);
  });

  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function fill(keys: readonly string[]): void {
    store.transact((tx) => {
      for (const key of keys) tx.put(bytes(key), bytes(`value of ${key}`));
    });
  }

  function keysOf(start: string, end: string, options?: { limit?: number; reverse?: boolean }): (string | undefined)[] {
    return store.read((view) => Array.from(view.range(bytes(start), bytes(end), options), ([key]) => text(key)));
  }

  it("answers undefined for what is not there", () => {
    expect(store.read((view) => view.get(bytes("none")))).toBeUndefined();
  });

  it("gives back exactly the bytes that were put, empty and large values too", () => {
    const values = [Buffer.alloc(0), Buffer.of(0), Buffer.from([0, 255, 0]), Buffer.alloc(300_000, 7)];
    store.transact((tx) => {
      for (const [index, value] of values.entries()) tx.put(Buffer.of(65, index), value);
    });
    for (const [index, value] of values.entries()) {
      const found = store.read((view) => Buffer.from(view.get(Buffer.of(65, index)) ?? bytes("missing")));
      expect(found.equals(value)).toBe(true);
    }
  });

  it("does not mix up small values read one after the other", () => {
    fill(["a", "bb"]);
    const lengths = store.read((view) => ["a", "bb"].map((key) => view.get(bytes(key))?.byteLength));
    expect(lengths).toEqual([10, 11]);
  });

  it("replaces, and deletes; deleting what is not there is fine", () => {
    fill(["a", "b"]);
    store.transact((tx) => {
      tx.put(bytes("a"), bytes("new"));
      tx.delete(bytes("b"));
      tx.delete(bytes("never"));
    });
    expect(store.read((view) => text(view.get(bytes("a"))))).toBe("new");
    expect(keysOf("a", "z")).toEqual(["a"]);
  });

  it("orders keys bytewise, shorter before longer, 0xff last", () => {
    const keys = ["a", "a\x00", "a\x01", "a\x7f", "a\x80", "a\xff", "b"];
    fill([...keys].reverse());
    expect(keysOf("a", "c")).toEqual(keys);
  });

  it("scans half-open ranges, forwards and backwards, up to a limit", () => {
    fill(["a", "b", "c", "d"]);
    expect(keysOf("a", "d")).toEqual(["a", "b", "c"]);
    expect(keysOf("aa", "cc")).toEqual(["b", "c"]);
    expect(keysOf("a", "d", { reverse: true })).toEqual(["c", "b", "a"]);
    expect(keysOf("a", "z", { reverse: true, limit: 2 })).toEqual(["d", "c"]);
    expect(keysOf("b", "z", { limit: 2 })).toEqual(["b", "c"]);
    expect(keysOf("x", "z")).toEqual([]);
  });

  it("hands out range results that stay valid", () => {
    fill(["a", "b", "c"]);
    const kept = store.read((view) => Array.from(view.range(bytes("a"), bytes("z"))));
    fill(["a", "b", "c", "d"].map((key) => `${key}${key}`));
    expect(kept.map(([key, value]) => `${text(key)}=${text(value)}`)).toEqual([
      "a=value of a",
      "b=value of b",
      "c=value of c",
    ]);
  });

  it("shows a transaction its own writes, in gets and in scans", () => {
    fill(["a", "b"]);
    const seen = store.transact((tx) => {
      tx.put(bytes("aa"), bytes("new"));
      tx.delete(bytes("b"));
      const keys = Array.from(tx.range(bytes("a"), bytes("z")), ([key]) => text(key));
      return { keys, got: text(tx.get(bytes("aa"))), gone: tx.get(bytes("b")) };
    });
    expect(seen).toEqual({ keys: ["a", "aa"], got: "new", gone: undefined });
  });

  it("takes back everything when the function throws, and works on", () => {
    fill(["a"]);
    expect(() =>
      store.transact((tx) => {
        tx.put(bytes("a"), bytes("changed"));
        tx.put(bytes("b"), bytes("new"));
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(keysOf("a", "z")).toEqual(["a"]);
    expect(store.read((view) => text(view.get(bytes("a"))))).toBe("value of a");
    fill(["c"]);
    expect(keysOf("a", "z")).toEqual(["a", "c"]);
  });

  it("copies what is put: the caller may use its buffer again", () => {
    const buffer = bytes("one");
    store.transact((tx) => {
      tx.put(bytes("a"), buffer);
      buffer.write("two");
      tx.put(bytes("b"), buffer);
    });
    expect(store.read((view) => [text(view.get(bytes("a"))), text(view.get(bytes("b")))])).toEqual(["one", "two"]);
  });

  it("keeps what was committed when it is closed and opened again", async () => {
    fill(["a"]);
    await store.sync();
    await store.close();
    store = open(folder);
    expect(keysOf("a", "z")).toEqual(["a"]);
  });

  it("grows by itself, within one transaction too", () => {
    const value = Buffer.alloc(10_000, 1);
    store.transact((tx) => {
      for (let index = 0; index < 3000; index++) tx.put(bytes(`k${String(index).padStart(5, "0")}`), value);
    });
    expect(keysOf("k", "l", { reverse: true, limit: 1 })).toEqual(["k02999"]);
  });

  it("appends keys that sort behind all others, and refuses those that do not", () => {
    fill(["a"]);
    store.transact((tx) => {
      tx.append(bytes("b"), bytes("1"));
      tx.append(bytes("c"), bytes("2"));
    });
    expect(keysOf("a", "z")).toEqual(["a", "b", "c"]);
    expect(() => store.transact((tx) => tx.append(bytes("bb"), bytes("3")))).toThrow();
    expect(keysOf("a", "z")).toEqual(["a", "b", "c"]);
  });

  it("says so when it is used after close", async () => {
    await store.close();
    expect(() => store.read((view) => view.get(bytes("a")))).toThrow(MetaError);
    expect(() => store.transact((tx) => tx.delete(bytes("a")))).toThrow(MetaError);
  });
});

describe("LmdbStore", () => {
  it("keeps its files private to the user", async () => {
    const folder = mkdtempSync(join(tmpdir(), "podfs-meta-store-"));
    const store = new LmdbStore(join(folder, "inner", "meta.lmdb"));
    expect(statSync(join(folder, "inner")).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "inner", "meta.lmdb")).mode & 0o777).toBe(0o600);
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
});
