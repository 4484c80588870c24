import { randomBytes } from "node:crypto";
import { closeSync, readdirSync, readFileSync, statSync, truncateSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ContentId, Ino } from "../../../src/base/index.js";
import { CHUNK_SIZE_BYTES } from "../../../src/format/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { CacheUnderTest, PATIENTLY, READ, settled, TIME, TRUNCATE, WRITE } from "./cache-under-test.js";

const CHUNK = CHUNK_SIZE_BYTES;
let under: CacheUnderTest;
beforeEach(async () => {
  under = await CacheUnderTest.start();
});
afterEach(() => under.cleanUp());

function localOf(ino: Ino) {
  const local = under.metadata.local(ino);
  if (local === undefined) throw new Error(`no local image of ${ino}`);
  return local;
}

test("a new file is dirty and open at once, and clean when it was uploaded after its last close", async () => {
  const events: string[] = [];
  under.cache.onDirty((_, event) => events.push(event));
  const bytes = randomBytes(3000);
  const ino = await under.write(bytes);
  expect(events).toEqual(["opened", "closed"]);
  expect(localOf(ino)).toMatchObject({ dirty: true, complete: true, sizeBytes: 3000 });
  await under.upload(ino);
  expect(localOf(ino)).toMatchObject({ dirty: false, version: under.metadata.content(ino)?.version });
  expect(await under.read(ino)).toEqual(bytes);
  expect(under.transfer.counters.gets).toBe(0);
});

test("no opening waits for the kernel to double the table of descriptors", () => {
  const numberIn = (file: string, pattern: RegExp): number =>
    Number(pattern.exec(readFileSync(`/proc/self/${file}`, "utf8"))?.[1]);
  const limit = numberIn("limits", /^Max open files\s+(\d+)/m);
  expect(limit).toBeGreaterThan(0);
  expect(numberIn("status", /^FDSize:\s+(\d+)/m)).toBeGreaterThanOrEqual(Math.min(limit, 65_536));
});

test("complete files are opened passthrough once the kernel offers that, unless they must not be", async () => {
  const [ino = 0 as Ino] = await under.publish(randomBytes(10));
  const before = await under.cache.open(ino, READ);
  under.cache.setPassthrough(true);
  // The mode stays while anybody has it open.
  const joined = await under.cache.open(ino, WRITE);
  expect([before.mode, joined.mode]).toEqual(["served", "served"]);
  under.cache.close(before, READ);
  under.cache.close(joined, WRITE);
  const after = await under.cache.open(ino, { ...WRITE, passthroughAllowed: false });
  expect(after.mode).toBe("served");
  under.cache.close(after, WRITE);
  const last = await under.cache.open(ino, WRITE);
  expect(last.mode).toBe("passthrough");
  under.cache.close(last, WRITE);
});

test("a file that is opened again at once waits for nothing", async () => {
  const [ino = 0 as Ino] = await under.publish(randomBytes(10));
  const content = under.cache.open(ino, READ);
  expect(content).not.toBeInstanceOf(Promise);
  under.cache.close(await content, READ);
});

test("a file whose descriptor is not kept waits for nothing either, where the kernel knows it; a damaged one is fetched", async ({
  skip,
}) => {
  const bytes = randomBytes(10);
  const [ino = 0 as Ino, damaged = 0 as Ino] = await under.publish(bytes, randomBytes(20));
  under = await under.restart();
  const path = (of: Ino) => under.directory.contentPath(localOf(of).contentId);
  const fd = loadAddon().openCached(path(ino));
  skip(fd === -constants.errno.ENOSYS, "before Linux 5.12 the kernel cannot tell");
  closeSync(fd);
  const content = under.cache.open(ino, READ);
  expect(content).not.toBeInstanceOf(Promise);
  under.cache.close(await content, READ);
  expect(await under.read(ino)).toEqual(bytes);

  truncateSync(path(damaged), 5);
  expect((await under.read(damaged)).length).toBe(20);
  expect(under.problems.join()).toMatch(/5 bytes instead of 20/);
});

test("opening for writing without writing leaves the file clean, whatever the times of its content file were", async () => {
  const [ino = 0 as Ino] = await under.publish(randomBytes(10));
  await under.cache.evict(ino);
  const content = await under.cache.open(ino, WRITE);
  expect(content.stat().mtime).toEqual(under.metadata.content(ino)?.mtime);
  expect(localOf(ino).dirty).toBe(true);
  under.cache.close(content, WRITE);
  expect(localOf(ino).dirty).toBe(false);
  expect(under.cache.beginUpload(ino)).toBeUndefined();
});

test("times set after writing do not hide that something was written", async () => {
  const [ino = 0 as Ino] = await under.publish(randomBytes(10));
  const content = await under.cache.open(ino, WRITE);
  const mtime = content.stat().mtime;
  await content.file.write(Buffer.from("x"), 0);
  under.metadata.update((tx) => under.cache.setMtime(tx, ino, mtime));
  expect(content.stat().mtime).toEqual(mtime);
  under.cache.close(content, WRITE);
  expect(localOf(ino)).toMatchObject({ dirty: true, mtime });
});

test("times set while a closed file is being uploaded are uploaded too", async () => {
  const ino = await under.write(randomBytes(10));
  const source = under.cache.beginUpload(ino);
  if (source === undefined) throw new Error("nothing to upload");
  const mtime = { sec: 77, nsec: 123_456_789 };
  under.metadata.update((tx) => under.cache.setMtime(tx, ino, mtime));
  under.metadata.update((tx) => under.cache.finishUpload(tx, ino, source, source.baseVersion));
  await settled();
  expect(localOf(ino).dirty).toBe(true);
  expect(under.cache.beginUpload(ino)?.mtime).toEqual(mtime);
});

test("what is written during an upload stays dirty", async () => {
  const ino = await under.write(randomBytes(10));
  const source = under.cache.beginUpload(ino);
  if (source === undefined) throw new Error("nothing to upload");
  const content = await under.cache.open(ino, WRITE);
  await content.file.write(Buffer.from("more"), 100);
  under.cache.close(content, WRITE);
  under.metadata.update((tx) => under.cache.finishUpload(tx, ino, source, source.baseVersion));
  await settled();
  expect(localOf(ino)).toMatchObject({ dirty: true, sizeBytes: 104 });
});

test("O_TRUNC gives fresh content; the old file goes from the disk; an open file is emptied in place", async () => {
  const [ino = 0 as Ino] = await under.publish(randomBytes(5000));
  const old = localOf(ino).contentId;
  const content = await under.cache.open(ino, TRUNCATE);
  expect(content.contentId).not.toBe(old);
  expect(content.stat().sizeBytes).toBe(0);
  await content.file.write(Buffer.from("new"), 0);
  const again = await under.cache.open(ino, TRUNCATE);
  expect(again).toBe(content);
  expect(content.stat().sizeBytes).toBe(0);
  under.cache.close(content, WRITE);
  under.cache.close(again, WRITE);
  await vi.waitFor(() => expect(() => statSync(under.directory.contentPath(old))).toThrow(), PATIENTLY);
});

test("a removed file can be used until it is closed, and is deleted then", async () => {
  const ino = await under.write(Buffer.from("still here"));
  const content = await under.cache.open(ino, READ);
  const path = under.directory.contentPath(content.contentId);
  under.metadata.update((tx) => {
    under.cache.remove(tx, ino);
    tx.deleteContent(ino, 0);
  });
  await settled();
  const bytes = Buffer.alloc(10);
  await content.file.read(bytes, 0);
  expect(bytes.toString()).toBe("still here");
  expect(statSync(path).size).toBe(10);
  under.cache.close(content, READ);
  await vi.waitFor(() => expect(() => statSync(path)).toThrow(), PATIENTLY);
  expect(under.cache.usage()).toMatchObject({ dirtyBytes: 0 });
  expect(() => under.cache.open(ino, READ)).toThrow(expect.objectContaining({ kind: "gone" }));
});

test("an operation that fails takes nothing away", async () => {
  const ino = await under.write(Buffer.from("kept"));
  expect(() =>
    under.metadata.update((tx) => {
      under.cache.remove(tx, ino);
      throw new Error("no");
    }),
  ).toThrow("no");
  let abandoned: unknown;
  expect(() =>
    under.metadata.update((tx) => {
      abandoned = under.cache.create(tx, 4711 as Ino, TIME, true);
      throw new Error("no");
    }),
  ).toThrow("no");
  under.cache.abandon(abandoned as Parameters<typeof under.cache.abandon>[0]);
  await settled();
  expect(under.cache.opened(4711 as Ino)).toBeUndefined();
  expect((await under.read(ino)).toString()).toBe("kept");
});

test("a removed file that is being uploaded stays on the disk until the upload has ended", async () => {
  const ino = await under.write(randomBytes(10));
  const source = under.cache.beginUpload(ino);
  if (source === undefined) throw new Error("nothing to upload");
  under.metadata.update((tx) => under.cache.remove(tx, ino));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(statSync(source.path).size).toBe(10);
  under.cache.failUpload(ino, source);
  await vi.waitFor(() => expect(() => statSync(source.path)).toThrow(), PATIENTLY);
});

test("creating many files at once leaves no content file that is nobody's", async () => {
  const inodes = await Promise.all(Array.from({ length: 600 }, (_, i) => under.write(Buffer.from(String(i)))));
  expect(new Set(inodes).size).toBe(600);
  for (const i of [0, 299, 599]) expect((await under.read(inodes[i] as Ino)).toString()).toBe(String(i));
  under = await under.restart();
  await vi.waitFor(() => expect(under.metadata.garbage(10_000).length).toBeLessThanOrEqual(64), PATIENTLY);
  const used = new Set(inodes.map((ino) => localOf(ino).contentId));
  const spare = new Set(under.metadata.garbage(10_000));
  for (const id of contentFiles()) expect(used.has(id) || spare.has(id)).toBe(true);
});

function contentFiles(): ContentId[] {
  return readdirSync(under.directory.contentRoot).flatMap((sub) =>
    readdirSync(join(under.directory.contentRoot, sub)).map((name) => Number.parseInt(name, 16) as ContentId),
  );
}

test("a large file opened for writing in place has only the chunks hashed again that were written", async () => {
  const bytes = randomBytes(70 * CHUNK + 10);
  const [ino = 0 as Ino] = await under.publish(bytes);
  under.cache.setPassthrough(true);
  const content = await under.cache.open(ino, WRITE);
  expect(content.mode).toBe("served");
  expect(localOf(ino).complete).toBe(false);
  await content.file.write(Buffer.from("changed"), 5 * CHUNK + 3);
  await content.file.write(Buffer.from("longer"), bytes.length + CHUNK);
  under.cache.close(content, WRITE);
  const source = under.cache.beginUpload(ino);
  expect(source?.chunks).toEqual([5, 70, 71]);
  if (source !== undefined) under.cache.failUpload(ino, source);
  await under.upload(ino);
  expect(localOf(ino)).toMatchObject({ dirty: false, complete: true });

  await under.cache.evict(ino);
  const expected = Buffer.alloc(bytes.length + CHUNK + 6);
  bytes.copy(expected);
  expected.write("changed", 5 * CHUNK + 3);
  expected.write("longer", bytes.length + CHUNK);
  expect((await under.read(ino)).equals(expected)).toBe(true);
});

test("a large file cut off and grown again is not what it was", async () => {
  const [ino = 0 as Ino] = await under.publish(randomBytes(66 * CHUNK));
  const content = await under.cache.open(ino, WRITE);
  await content.file.truncate(2 * CHUNK);
  await content.file.truncate(66 * CHUNK);
  under.cache.close(content, WRITE);
  await under.upload(ino);
  expect(under.metadata.chunkHashes(ino, 2, 64)).toEqual(new Array(64).fill(null));
});
