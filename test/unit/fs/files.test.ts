import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import type { OpenedFile } from "../../../src/fs/index.js";
import { FsFixture, kindOf, nameOf, O_RDONLY, O_RDWR, O_WRONLY, USER } from "../../support/fs-fixture.js";

let fixture: FsFixture;
beforeEach(() => {
  fixture = new FsFixture();
});
afterEach(() => fixture.dispose());

async function written(name: string, bytes: string): Promise<Ino> {
  const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf(name), 0o644, O_WRONLY);
  await opened.content.file.write(Buffer.from(bytes), 0);
  fixture.fs.release(opened.handle);
  return attributes.ino;
}
const open = async (ino: Ino, flags: number): Promise<OpenedFile> => fixture.fs.open(ino, flags);

describe("open", () => {
  it("answers at once when the content is there, and fetches it when not", async () => {
    const ino = await written("f", "hello");
    fixture.cache.publish(ino);
    const atOnce = fixture.fs.open(ino, O_RDONLY);
    expect(atOnce).not.toBeInstanceOf(Promise);
    fixture.fs.release((await atOnce).handle);
    await fixture.cache.evict(ino);
    const opening = fixture.fs.open(ino, O_RDONLY);
    expect(opening).toBeInstanceOf(Promise);
    const { content } = await opening;
    expect(content.stat().sizeBytes).toBe(5);
  });

  it("is for regular files that exist", () => {
    const directory = fixture.directory("d");
    expect(kindOf(() => fixture.fs.open(directory, O_RDONLY))).toBe("is-directory");
    expect(kindOf(() => fixture.fs.open(fixture.fs.makeSymlink(USER, ROOT_INO, nameOf("s"), "t").ino, O_RDONLY))).toBe(
      "invalid",
    );
    expect(kindOf(() => fixture.fs.open(4711 as Ino, O_RDONLY))).toBe("stale");
  });

  it("counts readers and writers", async () => {
    const ino = await written("f", "");
    const reader = await open(ino, O_RDONLY);
    const writer = await open(ino, O_RDWR);
    expect(fixture.cache.opened(ino)).toMatchObject({ readers: 1, writers: 1 });
    expect(fixture.fs.contentOf(reader.handle)).toBe(fixture.fs.contentOf(writer.handle));
    fixture.fs.release(reader.handle);
    fixture.fs.release(writer.handle);
    expect(fixture.cache.opened(ino)).toBeUndefined();
    expect(kindOf(() => fixture.fs.contentOf(writer.handle))).toBe("bad-handle");
  });

  it("keeps the kernel's pages unless a passthrough handle wrote behind their back", async () => {
    const ino = await written("f", "1");
    fixture.cache.setPassthrough(false);
    const first = await open(ino, O_RDWR);
    expect(first.keepCache).toBe(false);
    fixture.fs.release(first.handle);
    const second = await open(ino, O_RDONLY);
    expect(second.keepCache).toBe(true);
    fixture.fs.release(second.handle);
    fixture.cache.setPassthrough(true);
    fixture.fs.release((await open(ino, O_WRONLY)).handle);
    fixture.cache.setPassthrough(false);
    expect((await open(ino, O_RDONLY)).keepCache).toBe(false);
    expect((await open(ino, O_RDONLY)).keepCache).toBe(true);
  });

  it("serves a file with privileges to writers, and passes it through to readers", async () => {
    const ino = await fixture.file("f", ROOT_INO, 0o2755);
    const writer = await open(ino, O_WRONLY);
    expect(writer.content.mode).toBe("served");
    fixture.fs.release(writer.handle);
    expect((await open(ino, O_RDONLY)).content.mode).toBe("passthrough");
  });
});

describe("lookup counts", () => {
  it("keep an unlinked file until it is forgotten", async () => {
    const ino = await written("f", "x");
    fixture.fs.remember(ino);
    fixture.fs.unlink(USER, ROOT_INO, nameOf("f"));
    expect(fixture.attributes(ino)).toMatchObject({ nlink: 0, sizeBytes: 1 });
    fixture.fs.forget(ino, 1);
    expect(fixture.attributes(ino).nlink).toBe(0);
    expect(kindOf(() => fixture.fs.open(ino, O_RDONLY))).toBe("stale");
    fixture.fs.forget(ino, 1);
    expect(kindOf(() => fixture.attributes(ino))).toBe("stale");
  });

  it("never fall below nothing", async () => {
    const ino = await written("f", "x");
    expect(() => fixture.fs.forget(ino, 2)).toThrow(/forgets 2 lookups/);
  });
});

describe("fsync and close", () => {
  const modes = [
    { durability: "fsync", afterClose: 0, afterSync: 1 },
    { durability: "close", afterClose: 1, afterSync: 2 },
    { durability: "local", afterClose: 0, afterSync: 0 },
  ] as const;

  it.each(modes)(
    "wait for the volume as --durability $durability says",
    async ({ durability, afterClose, afterSync }) => {
      const durable = new FsFixture({ durability });
      const { attributes, opened } = await durable.fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_WRONLY);
      await durable.fs.flush(opened.handle);
      expect(durable.published).toHaveLength(afterClose);
      await durable.fs.sync(opened.handle, true);
      expect(durable.published).toEqual(new Array(afterSync).fill(`inode ${attributes.ino}`));
      await durable.dispose();
    },
  );

  it("fail when the right to write was lost before all was published", async () => {
    let isLost = false;
    const lost = () => Promise.reject(new Error("lease lost"));
    const publisher = { syncInode: lost, syncDirectory: lost };
    const fenced = new FsFixture({ publisher, isReadOnly: () => isLost });
    const { opened } = await fenced.fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_WRONLY);
    isLost = true;
    await expect(fenced.fs.sync(opened.handle, false)).rejects.toThrow("lease lost");
    await expect(fenced.fs.syncDirectory(fenced.fs.openDirectory(ROOT_INO))).rejects.toThrow("lease lost");
    await fenced.dispose();
  });

  it("of a reader does not wait", async () => {
    const durable = new FsFixture({ durability: "close" });
    const { handle } = await durable.fs.open(await durable.file("f"), O_RDONLY);
    expect(durable.fs.flush(handle)).toBeUndefined();
    await durable.dispose();
  });
});

describe("bytes", () => {
  it("are copied between files, up to the end of the source", async () => {
    const from = await open(await written("from", "0123456789"), O_RDONLY);
    const target = await written("to", "");
    const to = await open(target, O_WRONLY);
    expect(await fixture.fs.copyRange(from.handle, 2, to.handle, 1, 100)).toBe(8);
    expect(await fixture.fs.copyRange(from.handle, 10, to.handle, 0, 1)).toBe(0);
    expect(fixture.cache.bytesOf(target).toString()).toBe("\x0023456789");
    await expect(fixture.fs.copyRange(to.handle, 0, from.handle, 0, 1)).rejects.toMatchObject({ kind: "bad-handle" });
  });

  it("of partial files are copied by reading and writing", async () => {
    const from = await open(await written("from", "x".repeat(1 << 21)), O_RDONLY);
    const target = await written("to", "");
    const to = await open(target, O_WRONLY);
    Object.defineProperty(from.content.file, "complete", { value: false });
    expect(await fixture.fs.copyRange(from.handle, 0, to.handle, 0, 1 << 22)).toBe(1 << 21);
    expect(fixture.cache.bytesOf(target)).toHaveLength(1 << 21);
  });

  it("are allocated and punched", async () => {
    const ino = await written("f", "0123");
    const { handle } = await open(ino, O_RDWR);
    await fixture.fs.fallocate(handle, 0, 2, 4);
    expect(fixture.attributes(ino).sizeBytes).toBe(6);
    await fixture.fs.fallocate(handle, 3, 1, 2);
    expect(fixture.cache.bytesOf(ino)).toEqual(Buffer.from("0\0\x003\0\0"));
    const reader = await open(ino, O_RDONLY);
    await expect(fixture.fs.fallocate(reader.handle, 0, 0, 1)).rejects.toMatchObject({ kind: "bad-handle" });
    await expect(fixture.fs.fallocate(handle, 0, 0, 0)).rejects.toMatchObject({ kind: "invalid" });
  });

  it("and holes are found", async () => {
    const { handle } = await open(await written("f", "0123"), O_RDONLY);
    expect(await fixture.fs.seek(handle, 1, 3)).toBe(1);
    expect(await fixture.fs.seek(handle, 1, 4)).toBe(4);
    await expect(fixture.fs.seek(handle, 4, 3)).rejects.toMatchObject({ kind: "no-data-beyond" });
    await expect(fixture.fs.seek(handle, 0, 5)).rejects.toMatchObject({ kind: "invalid" });
  });
});
