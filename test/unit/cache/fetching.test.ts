import { randomBytes } from "node:crypto";
import { truncateSync } from "node:fs";
import { rename } from "node:fs/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { CHUNK_SIZE_BYTES, packObjectKey } from "../../../src/format/index.js";
import { CacheUnderTest, PATIENTLY, READ, WRITE } from "./cache-under-test.js";

const CHUNK = CHUNK_SIZE_BYTES;
let under: CacheUnderTest;
beforeEach(async () => {
  under = await CacheUnderTest.start();
});
afterEach(() => under.cleanUp());

/** Changes one stored byte of a chunk. Returns the name of its pack's object. */
async function damage(ino: Ino, chunk: number): Promise<string> {
  const [hash] = under.metadata.chunkHashes(ino, chunk, 1);
  const record = hash ? under.metadata.chunk(hash) : undefined;
  const pack = under.metadata.pack(record?.pack ?? 0);
  if (record === undefined || pack === undefined) throw new Error("no such chunk");
  const key = packObjectKey(pack.id);
  const { body } = await under.store.get(key);
  const bytes = Buffer.from(body);
  bytes.writeUInt8(bytes.readUInt8(record.offset + 5) ^ 0xff, record.offset + 5);
  await under.store.delete(key);
  await under.store.put(key, bytes);
  return key;
}

async function away<T>(while_: () => Promise<T>): Promise<T> {
  const path = `${under.root}/backend`;
  await rename(path, `${path}.away`);
  try {
    return await while_();
  } finally {
    await rename(`${path}.away`, path);
  }
}

test("2,000 small files come back with three requests, all of them right", async () => {
  const contents = Array.from({ length: 2000 }, (_, i) => randomBytes(8000 + (i % 300)));
  const inodes: Ino[] = [];
  for (const bytes of contents) inodes.push(await under.write(bytes));
  for (let at = 0; at < inodes.length; at += 1000) await under.upload(...inodes.slice(at, at + 1000));
  await under.cache.evictAll();
  for (const [i, ino] of inodes.entries()) {
    expect((await under.read(ino)).equals(contents[i] ?? Buffer.alloc(0))).toBe(true);
  }
  expect(under.transfer.counters.gets).toBeLessThanOrEqual(3);
  // Now they are here, without any mirror.
  await under.cache.stop();
  expect(under.transfer.counters.errors).toBe(0);
});

test("who opens the same small file at once shares one request", async () => {
  const bytes = randomBytes(10_000);
  const [ino = 0 as Ino] = await under.publish(bytes);
  await under.cache.evict(ino);
  const read = await Promise.all(Array.from({ length: 20 }, () => under.read(ino)));
  for (const one of read) expect(one.equals(bytes)).toBe(true);
  expect(under.transfer.counters.gets).toBe(1);
});

test("files of one pack opened at once share one request", async () => {
  const contents = Array.from({ length: 50 }, () => randomBytes(20_000));
  const inodes = await under.publish(...contents);
  await under.cache.evictAll();
  const read = await Promise.all([...inodes].reverse().map((ino) => under.read(ino)));
  expect(read.every((bytes, i) => bytes.equals(contents[contents.length - 1 - i] ?? Buffer.alloc(0)))).toBe(true);
  expect(under.transfer.counters.gets).toBe(1);
});

test("holes, empty files and files of several chunks come back as they were", async () => {
  const tail = Buffer.concat([randomBytes(CHUNK), Buffer.alloc(CHUNK + 700)]);
  const contents = [Buffer.alloc(0), Buffer.alloc(3 * CHUNK), tail, randomBytes(3 * CHUNK + 9), Buffer.alloc(10)];
  const inodes = await under.publish(...contents);
  await under.cache.evictAll();
  for (const [i, ino] of inodes.entries()) expect((await under.read(ino)).equals(contents[i] ?? tail)).toBe(true);
});

test("a large file is open at once, its blocks come as they are read, and it needs no map when all are there", async () => {
  const bytes = randomBytes(20 * CHUNK + 123);
  const [ino = 0 as Ino] = await under.publish(bytes);
  await under.cache.evict(ino);
  under.cache.setPassthrough(true);
  const content = await under.cache.open(ino, READ);
  expect(content.mode).toBe("served");
  expect(content.stat().sizeBytes).toBe(bytes.length);
  expect(under.transfer.counters.gets).toBe(0);
  const some = Buffer.alloc(1000);
  await content.file.read(some, 13 * CHUNK + 7);
  expect(some.equals(bytes.subarray(13 * CHUNK + 7, 13 * CHUNK + 1007))).toBe(true);
  // A random reader gets its block and no more.
  expect(under.transfer.counters.getBytes).toBeLessThan(1.1 * CHUNK);
  for (let at = 0; at < bytes.length; at += CHUNK / 4) {
    const piece = Buffer.alloc(CHUNK / 4);
    const count = await content.file.read(piece, at);
    expect(piece.subarray(0, count).equals(bytes.subarray(at, at + count))).toBe(true);
  }
  under.cache.close(content, READ);
  expect(under.metadata.local(ino)?.complete).toBe(true);
  // A sequential reader has few requests for many blocks.
  expect(under.transfer.counters.gets).toBeLessThan(12);
  const again = await under.cache.open(ino, READ);
  expect(again.mode).toBe("passthrough");
  under.cache.close(again, READ);
});

test("a partly fetched file keeps its blocks over a restart, and over kill -9 of what writes into it", async () => {
  const bytes = randomBytes(10 * CHUNK);
  const [ino = 0 as Ino] = await under.publish(bytes);
  await under.cache.evict(ino);
  const content = await under.cache.open(ino, WRITE);
  await content.file.read(Buffer.alloc(10), 4 * CHUNK);
  await content.file.write(Buffer.from("dirty"), 7 * CHUNK + 1);
  under.cache.close(content, WRITE);
  under = await under.restart();
  expect(under.metadata.local(ino)).toMatchObject({ dirty: true, complete: false });
  expect(under.cache.beginUpload(ino)?.chunks).toEqual([7]);
  const opened = await under.cache.open(ino, READ);
  expect([opened.file.has(4), opened.file.has(7), opened.file.has(1)]).toEqual([true, true, false]);
  under.cache.close(opened, READ);
  bytes.write("dirty", 7 * CHUNK + 1);
  expect((await under.read(ino)).equals(bytes)).toBe(true);
});

test("a partly absent file that grows has its last chunk fetched before it is hashed again", async () => {
  const bytes = randomBytes(5 * CHUNK + 100);
  const [ino = 0 as Ino] = await under.publish(bytes);
  await under.cache.evict(ino);
  const content = await under.cache.open(ino, WRITE);
  await content.file.truncate(6 * CHUNK);
  under.cache.close(content, WRITE);
  await vi.waitFor(() => under.upload(ino), PATIENTLY);
  await under.cache.evict(ino);
  const grown = await under.read(ino);
  expect(grown.subarray(0, bytes.length).equals(bytes)).toBe(true);
  expect(grown.length).toBe(6 * CHUNK);
});

test("a removed file that is still open goes on being fetched", async () => {
  const bytes = randomBytes(6 * CHUNK);
  const [ino = 0 as Ino] = await under.publish(bytes);
  await under.cache.evict(ino);
  const content = await under.cache.open(ino, READ);
  under.metadata.update((tx) => {
    under.cache.remove(tx, ino);
    tx.deleteContent(ino, 0);
  });
  const last = Buffer.alloc(CHUNK);
  await content.file.read(last, 5 * CHUNK);
  expect(last.equals(bytes.subarray(5 * CHUNK))).toBe(true);
  under.cache.close(content, READ);
});

test("a corrupt small file is an error that names its object, and nothing of it is kept", async () => {
  const [good = 0 as Ino, bad = 0 as Ino] = await under.publish(randomBytes(5000), randomBytes(6000));
  await under.cache.evictAll();
  const key = await damage(bad, 0);
  await expect(under.read(bad)).rejects.toMatchObject({ kind: "corrupt", message: expect.stringContaining(key) });
  expect(under.metadata.local(bad)).toBeUndefined();
  expect((await under.read(good)).length).toBe(5000);
});

test("a corrupt block of a large file is an error there and nowhere else, names its object, and is never present", async () => {
  const bytes = randomBytes(8 * CHUNK);
  const [ino = 0 as Ino] = await under.publish(bytes);
  await under.cache.evict(ino);
  const key = await damage(ino, 3);
  const content = await under.cache.open(ino, READ);
  await expect(content.file.read(Buffer.alloc(10), 3 * CHUNK)).rejects.toMatchObject({ code: "EIO" });
  expect(content.file.has(3)).toBe(false);
  expect(under.problems.join()).toContain(key);
  const piece = Buffer.alloc(CHUNK);
  await content.file.read(piece, 4 * CHUNK);
  expect(piece.equals(bytes.subarray(4 * CHUNK, 5 * CHUNK))).toBe(true);
  under.cache.close(content, READ);
});

test("while the backend is away, what is cached can be read, and what is not is an error, until it is back", async () => {
  await under.cleanUp();
  under = await CacheUnderTest.start({ fetchDeadlineMs: 2000 });
  const [here = 0 as Ino, absent = 0 as Ino] = await under.publish(randomBytes(100), randomBytes(200));
  await under.cache.evict(absent);
  await away(async () => {
    expect((await under.read(here)).length).toBe(100);
    await expect(under.read(absent)).rejects.toMatchObject({ name: "CacheError", kind: "fetch-failed" });
  });
  const back = await vi.waitFor(() => under.read(absent), PATIENTLY);
  expect(back.length).toBe(200);
});

test("a content file that somebody has damaged behind the cache's back is fetched again", async () => {
  const bytes = randomBytes(3000);
  const [ino = 0 as Ino] = await under.publish(bytes);
  under = await under.restart();
  truncateSync(under.directory.contentPath(under.metadata.local(ino)?.contentId ?? (0 as never)), 17);
  expect((await under.read(ino)).equals(bytes)).toBe(true);
  expect(under.problems.join()).toContain("17 bytes instead of 3000");
});
