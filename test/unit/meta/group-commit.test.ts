import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/index.js";
import { LmdbStore } from "../../../src/meta/lmdb/lmdb-store.js";
import type { MapFile } from "../../../src/meta/lmdb/redo-log.js";
import { loadAddon } from "../../../src/native/index.js";

const bytes = (text: string) => Buffer.from(text, "latin1");
/** No batch ends by itself. */
const clock = { ...systemClock, setTimer: () => ({ cancel: () => {} }) };

const addon = loadAddon();
const ways = [
  { name: "written", mapFile: undefined },
  { name: "mapped", mapFile: (fd: number, length: number) => addon.mapFile(fd, length) },
];

let root: string;
let opened: LmdbStore[];
let mapFile: MapFile | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "podfs-group-commit-"));
  opened = [];
});

afterEach(async () => {
  for (const store of opened) await store.close();
  rmSync(root, { recursive: true, force: true });
});

function openStore(name: string): LmdbStore {
  const store = new LmdbStore(join(root, name, "meta.lmdb"), { groupCommit: { clock, ...(mapFile && { mapFile }) } });
  opened.push(store);
  return store;
}

/** What a machine has when a process is killed: the files as they are, and no process. */
function killed(name: string, as: string): LmdbStore {
  mkdirSync(join(root, as));
  const files = ["meta.lmdb", "meta.lmdb-redo"].map((file) => join(root, name, file));
  // LMDB's file is as long as its map, and nearly all hole.
  execFileSync("cp", ["--sparse=always", ...files, join(root, as)]);
  return openStore(as);
}

function put(store: LmdbStore, key: string, value = key): void {
  store.transact((tx) => tx.put(bytes(key), bytes(value)));
}

function keys(store: LmdbStore): string[] {
  return store.read((view) =>
    Array.from(view.range(bytes("a"), bytes("z")), ([key, value]) => {
      const name = Buffer.from(key).toString("latin1");
      expect(Buffer.from(value).toString("latin1").startsWith(name)).toBe(true);
      return name;
    }),
  );
}

describe.each(ways)("group commit, redo log $name", (way) => {
  beforeEach(() => {
    mapFile = way.mapFile;
  });

  it("brings back every transaction of a store whose process was killed, in the first batch and in later ones", async () => {
    const store = openStore("one");
    put(store, "a");
    put(store, "b");
    expect(keys(killed("one", "first"))).toEqual(["a", "b"]);
    await store.sync();
    put(store, "c");
    store.transact((tx) => tx.delete(bytes("a")));
    expect(keys(killed("one", "second"))).toEqual(["b", "c"]);
  });

  it("brings back what was done after it had brought back something", () => {
    put(openStore("one"), "a");
    const second = killed("one", "two");
    put(second, "b");
    expect(keys(killed("two", "three"))).toEqual(["a", "b"]);
  });

  it("redoes nothing of a batch that was committed", async () => {
    const store = openStore("one");
    put(store, "a");
    await store.sync();
    mkdirSync(join(root, "two"));
    copyFileSync(join(root, "one", "meta.lmdb-redo"), join(root, "two", "redo"));
    store.transact((tx) => tx.delete(bytes("a")));
    await store.sync();
    copyFileSync(join(root, "two", "redo"), join(root, "one", "meta.lmdb-redo"));
    expect(keys(killed("one", "three"))).toEqual([]);
  });

  it("redoes nothing of another store's log", () => {
    put(openStore("one"), "a");
    openStore("two");
    copyFileSync(join(root, "one", "meta.lmdb-redo"), join(root, "two", "meta.lmdb-redo"));
    expect(keys(killed("two", "three"))).toEqual([]);
  });

  it("stops at a transaction that was being written", () => {
    const store = openStore("one");
    put(store, "a");
    put(store, "b", "b".repeat(100));
    put(store, "c");
    const redo = join(root, "one", "meta.lmdb-redo");
    const damaged = openSync(redo, "r+");
    writeSync(damaged, Buffer.of(0xff), 0, 1, 100);
    expect(keys(killed("one", "two"))).toEqual(["a"]);
    truncateSync(redo, 40);
    expect(keys(killed("one", "three"))).toEqual(["a"]);
  });

  it("undoes a transaction that fails after it has written, and nothing else", () => {
    const store = openStore("one");
    put(store, "a");
    const failing = () =>
      store.transact((tx) => {
        tx.put(bytes("b"), bytes("b"));
        tx.delete(bytes("a"));
        throw new Error("no");
      });
    expect(failing).toThrow("no");
    expect(keys(store)).toEqual(["a"]);
    put(store, "c");
    expect(keys(store)).toEqual(["a", "c"]);
    expect(keys(killed("one", "two"))).toEqual(["a", "c"]);
  });

  it("keeps transactions larger than its log, and undoes them", () => {
    const store = openStore("one");
    const large = (tx: Parameters<Parameters<LmdbStore["transact"]>[0]>[0]) => {
      for (let index = 0; index < 40; index++) tx.put(bytes(`large${index}`), bytes(`large${index}`.repeat(6_000)));
    };
    put(store, "a");
    expect(() =>
      store.transact((tx) => {
        large(tx);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(keys(store)).toEqual(["a"]);
    store.transact(large);
    put(store, "b");
    expect(keys(killed("one", "two"))).toHaveLength(42);
  });

  it("ends a batch before it outgrows the room kept for it, and forgets nothing between batches", () => {
    const store = openStore("one");
    for (let index = 0; index < 5_000; index++) put(store, `k${String(index).padStart(6, "0")}`);
    expect(keys(killed("one", "two"))).toHaveLength(5_000);
  });
});
