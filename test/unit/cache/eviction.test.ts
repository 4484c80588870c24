import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { CHUNK_SIZE_BYTES } from "../../../src/format/index.js";
import { LmdbStore } from "../../../src/meta/index.js";
import { factKey } from "../../../src/meta/local-records.js";
import { CacheUnderTest, PATIENTLY, READ, WRITE } from "./cache-under-test.js";

const CHUNK = CHUNK_SIZE_BYTES;
const MIB = 1 << 20;
let under: CacheUnderTest;
afterEach(() => under.cleanUp());

/** What the content files and mirrors really take. Files that go while it looks make find fail: they take nothing. */
function diskBytes(): number {
  const paths = [under.directory.contentRoot, under.directory.mirrorRoot];
  const find = spawnSync("find", [...paths, "-type", "f", "-printf", "%b\n"], { encoding: "utf8" });
  if (find.error !== undefined) throw find.error;
  return find.stdout.split("\n").reduce((sum, blocks) => sum + Number(blocks) * 512, 0);
}

test("reading four times the cache's size never takes more than its limit, and all that is read is right", async () => {
  const limitBytes = 64 * MIB;
  under = await CacheUnderTest.start({ limitBytes: 2 ** 40 });
  const small = Array.from({ length: 600 }, () => randomBytes(100_000));
  const inodes: Ino[] = [];
  for (let at = 0; at < small.length; at += 150) inodes.push(...(await under.publish(...small.slice(at, at + 150))));
  const large = randomBytes(48 * MIB);
  const [largeIno = 0 as Ino] = await under.publish(large);
  await under.cache.evictAll();
  under = await under.restart({ limitBytes });

  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, under.cache.usage().usedBytes, diskBytes());
  }, 100);
  try {
    for (let round = 0; round < 2; round++) {
      for (let at = 0; at < inodes.length; at += 20) {
        const read = await Promise.all(inodes.slice(at, at + 20).map((ino) => under.read(ino)));
        expect(read.every((bytes, i) => bytes.equals(small[at + i] ?? bytes))).toBe(true);
      }
      expect((await under.read(largeIno)).equals(large)).toBe(true);
    }
  } finally {
    clearInterval(watch);
  }
  expect(most).toBeGreaterThan(limitBytes / 4);
  expect(most).toBeLessThanOrEqual(limitBytes);
});

test("what is dirty or open is never evicted", async () => {
  under = await CacheUnderTest.start();
  const [old = 0 as Ino, open = 0 as Ino, fresh = 0 as Ino] = await under.publish(
    randomBytes(50_000),
    randomBytes(50_000),
    randomBytes(50_000),
  );
  const dirty = await under.write(randomBytes(50_000));
  const content = await under.cache.open(open, READ);
  await under.read(fresh);
  expect(await under.cache.evict(dirty)).toBe(false);
  expect(await under.cache.evict(open)).toBe(false);
  const freed = await under.cache.evictAll();
  expect(freed).toBeGreaterThanOrEqual(100_000);
  for (const ino of [old, fresh]) expect(under.metadata.local(ino)).toBeUndefined();
  expect(under.metadata.local(open)).toBeDefined();
  expect(under.metadata.local(dirty)?.dirty).toBe(true);
  under.cache.close(content, READ);
});

test("a file counts as used when its writer closes it, whether it is new, written again, or left as it was", async () => {
  under = await CacheUnderTest.start();
  const created = await under.create();
  const [again = 0 as Ino, untouched = 0 as Ino] = await under.publish(randomBytes(5_000), randomBytes(5_000));
  const written = await under.cache.open(again, WRITE);
  await written.file.write(randomBytes(100), 0);
  const left = await under.cache.open(untouched, WRITE);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const closingMs = Date.now();
  for (const content of [created, written, left]) under.cache.close(content, WRITE);
  for (const { ino } of [created, written, left])
    expect(under.metadata.local(ino)?.lastUsedMs).toBeGreaterThanOrEqual(closingMs);
});

test("a cache full of dirty data presses writers to be served, makes who reserves wait, and relaxes after uploads", async () => {
  const limitBytes = 64 * MIB;
  under = await CacheUnderTest.start({ limitBytes, roomWaitMs: 300 });
  under.cache.setPassthrough(true);
  const pressure: boolean[] = [];
  under.cache.onPressure((full) => pressure.push(full));
  const [clean = 0 as Ino] = await under.publish(randomBytes(200_000));
  await under.cache.evictAll();
  const dirty: Ino[] = [];
  for (let i = 0; i < 63; i++) dirty.push(await under.write(randomBytes(CHUNK)));
  await vi.waitFor(() => expect(pressure).toEqual([true]), PATIENTLY);
  const created = await under.create();
  expect(created.mode).toBe("served");
  under.cache.close(created, WRITE);

  // A reader gets an error after a while, a writer waits.
  let reserved = false;
  const reserving = under.cache.reserve(20 * MIB).then(() => {
    reserved = true;
  });
  const filler = await under.write(randomBytes(CHUNK));
  await expect(under.read(clean)).rejects.toMatchObject({ kind: "no-space" });
  expect(reserved).toBe(false);
  await under.upload(...dirty, filler);
  await reserving;
  await vi.waitFor(() => expect(pressure).toEqual([true, false]), PATIENTLY);
  // A reader's patience is short here, and what is evicted first may take longer.
  expect((await vi.waitFor(() => under.read(clean), PATIENTLY)).length).toBe(200_000);
  await expect(under.cache.reserve(65 * MIB)).rejects.toMatchObject({ kind: "no-space" });
});

test("the sums survive a restart, and are right again after one that was not clean", async () => {
  under = await CacheUnderTest.start();
  await under.publish(...Array.from({ length: 40 }, () => randomBytes(10_000)));
  await under.write(randomBytes(30_000));
  const before = under.cache.usage();
  expect(before.usedBytes).toBe(40 * 12_288 + 32_768);
  expect(before.dirtyBytes).toBe(32_768);
  under = await under.restart();
  expect(under.cache.usage()).toEqual(before);
  await under.end();
  // As if it had been killed.
  const store = new LmdbStore(`${under.root}/meta.lmdb`);
  store.transact((tx) => tx.put(factKey("cache.clean-stop"), Buffer.from("no")));
  await store.close();
  under = await CacheUnderTest.start({}, under.root);
  await vi.waitFor(() => expect(under.cache.usage()).toEqual(before), PATIENTLY);
});
