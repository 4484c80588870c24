import { randomBytes } from "node:crypto";
import { mkdtempSync, openSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ContentFile, type ContentFileEvents, loadAddon } from "../../src/native/index.js";

const BLOCK = 4096;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_COLLAPSE_RANGE = 8;
const FALLOC_INSERT_RANGE = 32;

describe("a content file", () => {
  const addon = loadAddon();
  const opened: ContentFile[] = [];
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-content-"));
    path = join(directory, "file");
  });
  afterEach(() => {
    for (const file of opened.splice(0)) file.close();
    rmSync(directory, { recursive: true });
  });

  function openFile(options: { map?: boolean; name?: string; events?: Partial<ContentFileEvents> } = {}): ContentFile {
    const at = options.name === undefined ? path : join(directory, options.name);
    const file = addon.createContentFile(
      {
        fd: openSync(at, "r+"),
        blockSize: BLOCK,
        ...(options.map === false ? {} : { mapPath: `${at}.map` }),
      },
      { onMiss: () => {}, onTrigger: () => {}, ...options.events },
    );
    opened.push(file);
    return file;
  }

  /** A file of `blocks` blocks of which none is there. */
  function absent(blocks: number, events?: Partial<ContentFileEvents>): ContentFile {
    writeFileSync(path, "");
    truncateSync(path, blocks * BLOCK);
    return openFile(events === undefined ? {} : { events });
  }

  function dirtyBlocks(file: ContentFile, published: boolean): number[] {
    const dirty = file.beginPublish();
    file.endPublish(published);
    return dirty;
  }

  test("without a map is complete and tracks nothing", async () => {
    writeFileSync(path, "hello");
    const file = openFile({ map: false });
    expect(file.complete).toBe(true);
    expect(await file.write(Buffer.from("HE"), 0)).toBe(2);
    expect(file.beginPublish()).toEqual([]);
    const into = new Uint8Array(10);
    expect(await file.read(into, 0)).toBe(5);
    expect(Buffer.from(into.subarray(0, 5)).toString()).toBe("HEllo");
  });

  test("claims a block once, until it is filled or failed", () => {
    const file = absent(4);
    expect(file.claim(1, 2)).toEqual([1, 2]);
    expect(file.claim(0, 100)).toEqual([0, 3]);
    expect(file.claim(0, 4)).toEqual([]);
    file.fail(0, 1, 5);
    expect(file.claim(0, 4)).toEqual([0]);
    file.fill(0, 4);
    expect(file.complete).toBe(true);
    expect(file.claim(0, 4)).toEqual([]);
  });

  test("a written block stays dirty until a publish that began after the write has succeeded", async () => {
    writeFileSync(path, "");
    const file = openFile();
    await file.write(new Uint8Array(3 * BLOCK), 0);
    expect(file.beginPublish()).toEqual([0, 1, 2]);
    expect(() => file.beginPublish()).toThrow(/EBUSY/);
    await file.write(new Uint8Array(10), BLOCK);
    file.endPublish(true);
    expect(dirtyBlocks(file, false)).toEqual([1]);
    expect(dirtyBlocks(file, true)).toEqual([1]);
    expect(dirtyBlocks(file, true)).toEqual([]);
  });

  test("blocks that are being published count as dirty when the file is opened anew", async () => {
    writeFileSync(path, "");
    const file = openFile();
    await file.write(new Uint8Array(BLOCK + 1), 0);
    expect(file.beginPublish()).toEqual([0, 1]);
    file.close();
    expect(dirtyBlocks(openFile(), true)).toEqual([0, 1]);
  });

  test("a sparse write makes the blocks it skips present and dirty holes", async () => {
    writeFileSync(path, "");
    const file = openFile();
    await file.write(Buffer.from("x"), 5 * BLOCK);
    expect(file.complete).toBe(true);
    expect(dirtyBlocks(file, true)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("what is cut off and grown again is zeros, and dirty", async () => {
    const file = absent(3);
    file.claim(0, 3);
    file.fill(0, 3);
    await file.truncate(BLOCK + 10);
    expect(dirtyBlocks(file, true)).toEqual([1]);
    await file.truncate(4 * BLOCK);
    expect(dirtyBlocks(file, true)).toEqual([2, 3]);
  });

  test("a truncation waits for what is being fetched behind the new end", async () => {
    const file = absent(4);
    file.claim(3, 1);
    let done = false;
    const truncation = file.truncate(2 * BLOCK).then(() => {
      done = true;
    });
    await sleep(30);
    expect(done).toBe(false);
    file.fill(3, 1);
    await truncation;
    expect(statSync(path).size).toBe(2 * BLOCK);
    expect(file.claim(0, 10)).toEqual([0, 1]);
  });

  test("a punched range is present and dirty; its absent edges are fetched first", async () => {
    const misses: number[][] = [];
    const file: ContentFile = absent(4, {
      onMiss: (first, count) => {
        misses.push([first, count]);
        for (const block of file.claim(first, count)) file.fill(block, 1);
      },
    });
    await file.fallocate(FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, BLOCK, BLOCK);
    expect(misses).toEqual([]);
    expect(dirtyBlocks(file, true)).toEqual([1]);
    await file.fallocate(FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 2 * BLOCK + 1, 10);
    expect(misses).toEqual([[2, 1]]);
    expect(dirtyBlocks(file, true)).toEqual([2]);
    expect(file.has(3)).toBe(false);
  });

  test("allocation beyond the end grows the file by holes; with KEEP_SIZE it changes nothing", async () => {
    writeFileSync(path, "abc");
    const file = openFile({ map: true });
    file.claim(0, 1);
    file.fill(0, 1);
    await file.fallocate(FALLOC_KEEP_SIZE, 0, 3 * BLOCK);
    expect(statSync(path).size).toBe(3);
    expect(dirtyBlocks(file, true)).toEqual([]);
    await file.fallocate(0, 0, 2 * BLOCK);
    expect(statSync(path).size).toBe(2 * BLOCK);
    expect(dirtyBlocks(file, true)).toEqual([1]);
  });

  test("collapsing and inserting a range moves the blocks behind it, where the filesystem can", async (context) => {
    const bytes = randomBytes(6 * BLOCK);
    writeFileSync(path, bytes);
    const file = openFile();
    file.claim(0, 6);
    file.fill(0, 6);
    try {
      await file.fallocate(FALLOC_COLLAPSE_RANGE, 2 * BLOCK, BLOCK);
    } catch (error) {
      if (String(error).includes("EOPNOTSUPP")) return context.skip("this filesystem cannot collapse ranges");
      throw error;
    }
    expect(dirtyBlocks(file, true)).toEqual([2, 3, 4]);
    await file.fallocate(FALLOC_INSERT_RANGE, BLOCK, 2 * BLOCK);
    expect(dirtyBlocks(file, true)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(statSync(path).size).toBe(7 * BLOCK);
    expect(Buffer.compare((await readFile(path)).subarray(4 * BLOCK), bytes.subarray(3 * BLOCK))).toBe(0);
  });

  test("seeks find data in absent blocks, and holes only in present ones", async () => {
    const file = absent(6);
    file.claim(1, 3);
    file.fill(1, 3); // Blocks 1 to 3 are there, and holes of the file.
    expect(await file.seek(0, SEEK_DATA)).toBe(0);
    expect(await file.seek(0, SEEK_HOLE)).toBe(BLOCK);
    expect(await file.seek(BLOCK + 5, SEEK_DATA)).toBe(4 * BLOCK);
    expect(await file.seek(4 * BLOCK, SEEK_HOLE)).toBe(6 * BLOCK);
    await file.write(Buffer.from("x"), 2 * BLOCK);
    expect(await file.seek(BLOCK, SEEK_DATA)).toBe(2 * BLOCK);
    await expect(file.seek(6 * BLOCK, SEEK_DATA)).rejects.toThrow("ENXIO");
  });

  test("copies a range of another content file, and waits for both", async () => {
    const bytes = randomBytes(3 * BLOCK);
    writeFileSync(join(directory, "source"), bytes);
    const source = openFile({ name: "source" });
    const target = absent(4);
    const copy = target.copyRange(source, 0, BLOCK, 2 * BLOCK);
    await sleep(20);
    source.claim(0, 3);
    source.fill(0, 3);
    expect(await copy).toBe(2 * BLOCK);
    expect(Buffer.compare((await readFile(path)).subarray(BLOCK, 3 * BLOCK), bytes.subarray(0, 2 * BLOCK))).toBe(0);
    expect(dirtyBlocks(target, true)).toEqual([1, 2]);
    expect(await target.copyRange(source, 3 * BLOCK, 0, 100)).toBe(0);
  });

  test("reports and sets its times to the nanosecond, and syncs", async () => {
    writeFileSync(path, "12345");
    const file = openFile();
    file.setMtime(-12, 345_678_901);
    const out = new Float64Array(6);
    file.stat(out);
    expect([out[0], out[2], out[3]]).toEqual([5, -12, 345_678_901]);
    await file.sync(true);
    await file.sync(false);
  });

  test("refuses a map that is none, or of another block size, and use after close", async () => {
    writeFileSync(path, "12345");
    openFile().close();
    const fd = () => openSync(path, "r+");
    const events = { onMiss: () => {}, onTrigger: () => {} };
    expect(() => addon.createContentFile({ fd: fd(), blockSize: 2 * BLOCK, mapPath: `${path}.map` }, events)).toThrow(
      /EINVAL/,
    );
    writeFileSync(`${path}.map`, Buffer.alloc(8192, 7));
    expect(() => addon.createContentFile({ fd: fd(), blockSize: BLOCK, mapPath: `${path}.map` }, events)).toThrow(
      /block map .*file\.map/,
    );
    const file = openFile({ map: false });
    file.close();
    file.close();
    expect(file.fd).toBe(-1);
    expect(() => file.has(0)).toThrow(/EBADF/);
  });

  test("an append after a part of an absent last block waits for it only", async () => {
    writeFileSync(path, "");
    truncateSync(path, 2 * BLOCK + 100);
    const misses: number[][] = [];
    const file = openFile({ events: { onMiss: (first, count) => misses.push([first, count]) } });
    const append = file.write(Buffer.from("tail"), 2 * BLOCK + 100);
    await expect.poll(() => misses).toEqual([[2, 1]]);
    file.claim(2, 1);
    file.fill(2, 1);
    expect(await append).toBe(4);
    expect(await file.write(new Uint8Array(10), 9 * BLOCK)).toBe(10);
    expect([0, 1, 2, 9].map((block) => file.has(block))).toEqual([false, false, true, true]);
  });
});
