import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { CacheDirectory, type ContentCache, openContentCache } from "../../../src/cache/index.js";
import { createFileSystem, type FileSystem } from "../../../src/fs/index.js";
import { compareTimes } from "../../../src/fs/times.js";
import type { VolumeMetadata } from "../../../src/meta/index.js";
import { loadAddon } from "../../../src/native/index.js";
import type { Transfer } from "../../../src/transfer/index.js";
import { kindOf, nameOf, O_RDONLY, O_RDWR, openTestVolume, USER } from "../../support/fs-fixture.js";

const CACHE_BYTES = 1 << 30;
/** Longer than any kernel's clock tick. */
const TICK_MS = 15;

/** Nothing is uploaded or fetched here: every file is new. */
const noTransfer = new Proxy({} as Transfer, {
  get: (_, method) => () => Promise.reject(new Error(`${String(method)} has no backend in this test`)),
});

class Mounted {
  private constructor(
    readonly fs: FileSystem,
    readonly metadata: VolumeMetadata,
    readonly cache: ContentCache,
    readonly directory: CacheDirectory,
  ) {}

  static async in(folder: string): Promise<Mounted> {
    const addon = loadAddon();
    const metadata = openTestVolume(join(folder, "meta"));
    const directory = CacheDirectory.open(join(folder, "cache"), addon);
    const cache = await openContentCache({
      ...{ directory, metadata, addon, transfer: noTransfer, limitBytes: CACHE_BYTES, freeSpaceBytes: 0 },
      onProblem: (message) => {
        throw new Error(message);
      },
    });
    const publisher = { syncInode: async () => {}, syncDirectory: async () => {} };
    const common = { clock: systemClock, durability: "local", isReadOnly: () => false } as const;
    return new Mounted(createFileSystem({ metadata, cache, publisher, ...common }), metadata, cache, directory);
  }

  /** With whatever is open: it counts as it is found. */
  async end(): Promise<void> {
    await this.cache.stop();
    await this.metadata.close();
    this.directory.release();
  }
}

const addonProblem = kindOf(loadAddon);

describe.skipIf(addonProblem !== "none")(
  "the filesystem over the cache of a real disk (needs the native addon)",
  () => {
    let folder: string;
    let mounted: Mounted;
    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), "podfs-fs-cache-"));
      mounted = await Mounted.in(folder);
    });
    afterEach(async () => {
      await mounted.end();
      rmSync(folder, { recursive: true });
    });

    async function remount(): Promise<void> {
      await mounted.end();
      mounted = await Mounted.in(folder);
    }
    const create = async (name: string) => mounted.fs.create(USER, ROOT_INO, nameOf(name), 0o644, O_RDWR);
    const attributes = (ino: Ino) => mounted.fs.getAttributes(ino);
    const tick = () => new Promise((resolve) => setTimeout(resolve, TICK_MS));

    it("gives a new file one time, and keeps it while nothing is written", async () => {
      const { attributes: made, opened } = await create("f");
      expect([made.mtime, made.ctime, made.btime]).toEqual([made.atime, made.atime, made.atime]);
      expect(attributes(made.ino)).toMatchObject({ mtime: made.mtime, ctime: made.ctime });
      mounted.fs.release(opened.handle);
      const again = await mounted.fs.open(made.ino, O_RDWR);
      mounted.fs.release(again.handle);
      await remount();
      expect(attributes(made.ino)).toMatchObject({ mtime: made.mtime, ctime: made.ctime, sizeBytes: 0 });
    });

    it("shows what is written, by the kernel's time", async () => {
      const { attributes: made, opened } = await create("f");
      await tick();
      await opened.content.file.write(Buffer.from("hello"), 0);
      const written = attributes(made.ino);
      expect(written).toMatchObject({ sizeBytes: 5, ctime: written.mtime, cacheable: false });
      expect(compareTimes(written.mtime, made.mtime)).toBeGreaterThan(0);
      await remount();
      expect(attributes(made.ino)).toMatchObject({ sizeBytes: 5, mtime: written.mtime, ctime: written.ctime });
    });

    // Within what every disk can store for a file (ext4: 1901 to 2446).
    it.each([
      { sec: -1_000_000_000, nsec: 999_999_999 },
      { sec: 1, nsec: 2 },
      { sec: 10_000_000_000, nsec: 123_456_789 },
    ])("keeps what utimens sets, open or closed: %o", async (mtime) => {
      const { attributes: made, opened } = await create("f");
      await opened.content.file.write(Buffer.from("x"), 0);
      await mounted.fs.setAttributes(USER, made.ino, { mtime });
      expect(attributes(made.ino).mtime).toEqual(mtime);
      mounted.fs.release(opened.handle);
      expect(attributes(made.ino).mtime).toEqual(mtime);
      const { handle } = await mounted.fs.open(made.ino, O_RDWR);
      expect(attributes(made.ino).mtime).toEqual(mtime);
      mounted.fs.release(handle);
      await remount();
      expect(attributes(made.ino).mtime).toEqual(mtime);
    });

    it("lets a write after utimens win", async () => {
      const { attributes: made, opened } = await create("f");
      await mounted.fs.setAttributes(USER, made.ino, { mtime: { sec: 1, nsec: 2 } });
      await tick();
      await opened.content.file.write(Buffer.from("x"), 0);
      mounted.fs.release(opened.handle);
      const { mtime, ctime } = attributes(made.ino);
      expect(compareTimes(mtime, made.mtime)).toBeGreaterThan(0);
      expect(ctime).toEqual(mtime);
    });

    it("truncates by path, by handle and on opening", async () => {
      const { attributes: made, opened } = await create("f");
      await opened.content.file.write(Buffer.from("hello"), 0);
      await mounted.fs.setAttributes(USER, made.ino, { sizeBytes: 4, handle: opened.handle });
      mounted.fs.release(opened.handle);
      expect(await mounted.fs.setAttributes(USER, made.ino, { sizeBytes: 2 })).toMatchObject({ sizeBytes: 2 });
      const reader = await mounted.fs.open(made.ino, O_RDONLY);
      const bytes = Buffer.alloc(10);
      expect(await reader.content.file.read(bytes, 0)).toBe(2);
      const truncating = await mounted.fs.open(made.ino, O_RDWR | 0o1000);
      expect(attributes(made.ino)).toMatchObject({ sizeBytes: 0 });
      expect(await reader.content.file.read(bytes, 0)).toBe(0);
      mounted.fs.release(truncating.handle);
      mounted.fs.release(reader.handle);
    });

    it("keeps an unlinked file for its handle, and frees it with that", async () => {
      const { attributes: made, opened } = await create("f");
      mounted.fs.unlink(USER, ROOT_INO, nameOf("f"));
      await opened.content.file.write(Buffer.from("hello"), 0);
      await tick();
      expect(attributes(made.ino)).toMatchObject({ nlink: 0, sizeBytes: 5 });
      await mounted.fs.setAttributes(USER, made.ino, { mtime: { sec: 5, nsec: 6 } });
      expect(attributes(made.ino).mtime).toEqual({ sec: 5, nsec: 6 });
      mounted.fs.forget(made.ino, 1);
      mounted.fs.release(opened.handle);
      expect(kindOf(() => attributes(made.ino))).toBe("stale");
      expect(mounted.metadata.local(made.ino)).toBeUndefined();
    });

    it("names a temporary file, and loses an unnamed one with the mount", async () => {
      const named = await mounted.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
      const lost = await mounted.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
      await named.opened.content.file.write(Buffer.from("hello"), 0);
      const { ino } = mounted.fs.link(USER, named.attributes.ino, ROOT_INO, nameOf("named"));
      await remount();
      expect(mounted.fs.lookup(ROOT_INO, nameOf("named"))).toMatchObject({ ino, sizeBytes: 5, nlink: 1 });
      expect(mounted.metadata.local(lost.attributes.ino)).toBeUndefined();
    });

    it("finds holes, allocates and copies", async () => {
      const from = await create("from");
      const to = await create("to");
      await mounted.fs.fallocate(from.opened.handle, 0, 0, 8192);
      await from.opened.content.file.write(Buffer.from("hello"), 4096);
      expect(await mounted.fs.copyRange(from.opened.handle, 4096, to.opened.handle, 0, 5)).toBe(5);
      expect(attributes(to.attributes.ino).sizeBytes).toBe(5);
      expect(await mounted.fs.seek(from.opened.handle, 4096, 4)).toBe(8192);
      await mounted.fs.sync(to.opened.handle, false);
    });
  },
);
