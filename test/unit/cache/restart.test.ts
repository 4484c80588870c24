import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import type { ContentId, Ino } from "../../../src/base/index.js";
import { CacheDirectory } from "../../../src/cache/index.js";
import { LmdbStore, type LocalFile } from "../../../src/meta/index.js";
import { encodeLocalFile, factKey, LocalRange, localKey } from "../../../src/meta/local-records.js";
import { loadAddon } from "../../../src/native/index.js";
import { CacheUnderTest, PATIENTLY } from "./cache-under-test.js";

/** Changes the records between two mounts. */
async function tamper(root: string, change: (store: LmdbStore) => void): Promise<void> {
  const store = new LmdbStore(join(root, "meta.lmdb"));
  change(store);
  await store.close();
}

function setFact(store: LmdbStore, name: string, value: string): void {
  store.transact((tx) => tx.put(factKey(name), Buffer.from(value)));
}

test("after a clean stop the cache is believed, even on another boot; after a power loss only what is dirty is", async () => {
  let under = await CacheUnderTest.start();
  try {
    const bytes = randomBytes(5000);
    const [ino = 0 as Ino] = await under.publish(bytes);
    const dirty = await under.write(Buffer.from("dirty"));
    await under.end();
    await tamper(under.root, (store) => setFact(store, "cache.boot-id", "an earlier boot"));
    under = await CacheUnderTest.start({}, under.root);
    expect((await under.read(ino)).equals(bytes)).toBe(true);
    expect(under.transfer.counters.gets).toBe(0);

    await under.end();
    await tamper(under.root, (store) => {
      setFact(store, "cache.boot-id", "an earlier boot");
      setFact(store, "cache.clean-stop", "no");
    });
    under = await CacheUnderTest.start({}, under.root);
    expect((await under.read(ino)).equals(bytes)).toBe(true);
    expect(under.transfer.counters.gets).toBe(1);
    expect((await under.read(dirty)).toString()).toBe("dirty");
  } finally {
    await under.cleanUp();
  }
});

test("when the records were lost, dirty files are found again by their own, and everything else goes", async () => {
  let under = await CacheUnderTest.start();
  try {
    const [clean = 0 as Ino] = await under.publish(randomBytes(5000));
    const dirty = await under.write(Buffer.from("only here"));
    const local = under.metadata.local(dirty) as LocalFile;
    await under.end();
    // What loading the volume again and replaying the journal leaves of the local records.
    await tamper(under.root, (store) => {
      for (const range of [LocalRange.local, LocalRange.garbage]) {
        const keys = store.read((view) => Array.from(view.range(range.start, range.end), ([key]) => Buffer.from(key)));
        store.transact((tx) => {
          for (const key of keys) tx.delete(key);
        });
      }
      const facts = ["next-content-id", "boot-id", "clean-stop", "trust-epoch", "counted"];
      store.transact((tx) => {
        for (const fact of facts) tx.delete(factKey(`cache.${fact}`));
        tx.put(localKey(dirty), encodeLocalFile(local));
      });
    });
    under = await CacheUnderTest.start({}, under.root);
    expect((await under.read(dirty)).toString()).toBe("only here");
    expect(under.metadata.local(clean)).toBeUndefined();
    expect((await under.read(clean)).length).toBe(5000);
    const written = await under.write(randomBytes(10));
    expect(under.metadata.local(written)?.contentId).toBeGreaterThan(local.contentId);
    const lost = () => readdirSync(under.directory.path).filter((name) => name.startsWith("content.lost"));
    await vi.waitFor(() => expect(lost()).toEqual([]), PATIENTLY);
  } finally {
    await under.cleanUp();
  }
});

test("a cache directory belongs to one mount: the second is told whose it is", async () => {
  const root = await mkdtemp(join(tmpdir(), "podfs-lock-"));
  try {
    const first = CacheDirectory.open(join(root, "cache"), loadAddon());
    expect(() => CacheDirectory.open(join(root, "cache"), loadAddon())).toThrow(
      expect.objectContaining({ kind: "user", message: expect.stringContaining(`(pid ${process.pid})`) }),
    );
    first.release();
    CacheDirectory.open(join(root, "cache"), loadAddon()).release();
    expect(() => CacheDirectory.open("/proc/cache", loadAddon())).toThrow(expect.objectContaining({ kind: "user" }));
  } finally {
    await rm(root, { recursive: true });
  }
});

test("no access times are kept of content files; the directory above them stays as its owner has it", async () => {
  const root = await mkdtemp(join(tmpdir(), "podfs-times-"));
  const long = new Date("2001-02-03T04:05:06Z");
  const notesReads = (path: string): boolean => {
    writeFileSync(path, "content");
    // Older than its modification: relatime(8) notes the next read.
    utimesSync(path, long, new Date());
    readFileSync(path);
    return statSync(path).atime > long;
  };
  try {
    const isUsual = notesReads(join(root, "before"));
    const directory = CacheDirectory.open(root, loadAddon());
    await directory.makeContentDirectories();
    expect(notesReads(join(root, "beside"))).toBe(isUsual);
    const canDo = loadAddon().disableAccessTimes(directory.contentRoot) === 0;
    if (canDo) expect(notesReads(directory.contentPath(1 as ContentId))).toBe(false);
    directory.release();
  } finally {
    await rm(root, { recursive: true });
  }
});

test("mirrors are not kept over a restart", async () => {
  let under = await CacheUnderTest.start();
  try {
    const [ino = 0 as Ino] = await under.publish(randomBytes(5000));
    await under.cache.evictAll();
    await under.read(ino);
    const [mirror = "none"] = readdirSync(under.directory.mirrorRoot);
    const path = join(under.directory.mirrorRoot, mirror);
    expect(existsSync(path)).toBe(true);
    under = await under.restart();
    expect(existsSync(path)).toBe(false);
  } finally {
    await under.cleanUp();
  }
});
