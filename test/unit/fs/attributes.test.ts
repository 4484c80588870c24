import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import type { AttributeChanges } from "../../../src/fs/index.js";
import { compareTimes } from "../../../src/fs/times.js";
import {
  FsFixture,
  kindOf,
  nameOf,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  ROOT_CALLER,
  USER,
} from "../../support/fs-fixture.js";
import { ManualClock } from "../../support/manual-clock.js";

let fixture: FsFixture;
beforeEach(() => {
  fixture = new FsFixture();
});
afterEach(() => fixture.dispose());

const change = async (ino: Ino, changes: AttributeChanges) => fixture.fs.setAttributes(ROOT_CALLER, ino, changes);
const write = (ino: Ino, text: string, position = 0) =>
  fixture.cache.opened(ino)!.file.writeSync(Buffer.from(text), position);

describe("chmod and chown", () => {
  it("change what they are told, and ctime", async () => {
    for (const ino of [await fixture.file("f"), fixture.directory("d")]) {
      const before = fixture.attributes(ino);
      const after = await change(ino, { mode: 0o7711, uid: 5 });
      expect(after).toEqual({ ...before, mode: (before.mode & 0o170000) | 0o7711, uid: 5, ctime: after.ctime });
      expect(compareTimes(after.ctime, before.ctime)).toBeGreaterThan(0);
    }
  });

  it("mark ctime even when there is nothing to change", async () => {
    const ino = await fixture.file("f");
    const before = fixture.attributes(ino);
    expect(compareTimes((await change(ino, {})).ctime, before.ctime)).toBeGreaterThan(0);
  });

  it("are no operation where nothing changes within a tick of the clock", async () => {
    await fixture.dispose();
    fixture = new FsFixture({ clock: new ManualClock() });
    const ino = await fixture.file("f");
    const before = await change(ino, { uid: 5 });
    let operations = 0;
    fixture.metadata.onOperation(() => operations++);
    expect(await change(ino, { uid: 5, gid: before.gid, killPrivileges: true })).toEqual(before);
    expect(await change(ino, { mode: before.mode & 0o7777 })).toEqual(before);
    expect(operations).toBe(0);
    fixture.fs.setXattr(ROOT_CALLER, ino, nameOf("security.capability"), Buffer.of(1), 0);
    await change(ino, { uid: 5, killPrivileges: true });
    expect(kindOf(() => fixture.fs.getXattr(ino, nameOf("security.capability")))).toBe("no-attribute");
    await change(ino, { atime: { sec: 1, nsec: 0 } });
    expect(operations).toBe(3);
  });

  it("leave a directory's links and mtime to those who work in it", async () => {
    const ino = fixture.directory("d");
    fixture.directory("e", ino);
    const { mtime } = fixture.attributes(ino);
    expect(await change(ino, { gid: 9 })).toMatchObject({ gid: 9, nlink: 3, mtime });
  });
});

describe("clearing privileges", () => {
  it("takes set-user-ID, and set-group-ID where the group may execute", async () => {
    const modeAfter = async (mode: number) => {
      const ino = await fixture.file(`f${mode}`, ROOT_INO, mode);
      return (await change(ino, { killPrivileges: true })).mode & 0o7777;
    };
    expect(await modeAfter(0o6755)).toBe(0o755);
    expect(await modeAfter(0o6745)).toBe(0o2745);
    const directory = fixture.directory("d", ROOT_INO, 0o6755);
    expect((await change(directory, { killPrivileges: true })).mode).toBe(0o46755);
  });

  it("takes file capabilities", async () => {
    const ino = await fixture.file("f");
    fixture.fs.setXattr(ROOT_CALLER, ino, nameOf("security.capability"), Buffer.of(1), 0);
    await change(ino, { uid: 5, killPrivileges: true });
    expect(kindOf(() => fixture.fs.getXattr(ino, nameOf("security.capability")))).toBe("no-attribute");
  });

  it("is no change, and no operation, when there are none", async () => {
    const ino = await fixture.file("f");
    let operations = 0;
    fixture.metadata.onOperation(() => operations++);
    const before = fixture.attributes(ino);
    expect(await change(ino, { killPrivileges: true })).toEqual(before);
    expect(operations).toBe(0);
  });
});

describe("utimens", () => {
  const times = [
    { sec: -1_000_000_000, nsec: 999_999_999 },
    { sec: 0, nsec: 1 },
    { sec: 32_503_680_000, nsec: 123_456_789 },
  ];

  it("keeps times to the nanosecond, before 1970 and far ahead", async () => {
    for (const ino of [
      await fixture.file("f"),
      fixture.directory("d"),
      fixture.fs.makeSymlink(USER, ROOT_INO, nameOf("s"), "t").ino,
    ]) {
      for (const time of times) {
        expect(await change(ino, { atime: time, mtime: time })).toMatchObject({ atime: time, mtime: time });
      }
      const before = fixture.attributes(ino);
      const after = await change(ino, { atime: "now" });
      expect(after).toEqual({ ...before, atime: after.ctime, ctime: after.ctime });
    }
  });

  it("does not let a directory's time stand in the way of the next entry", async () => {
    const ino = fixture.directory("d");
    await change(ino, { mtime: times[2]! });
    fixture.directory("e", ino);
    const { mtime, ctime } = fixture.attributes(ino);
    expect(mtime).toEqual(ctime);
  });

  it("after a write wins, whether the file is closed later or sooner", async () => {
    for (const closeFirst of [false, true]) {
      const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf(`f${closeFirst}`), 0o644, O_WRONLY);
      const { ino } = attributes;
      write(ino, "x");
      if (closeFirst) fixture.fs.release(opened.handle);
      const { ctime } = await change(ino, { mtime: times[1]! });
      if (!closeFirst) fixture.fs.release(opened.handle);
      expect(fixture.attributes(ino)).toMatchObject({ sizeBytes: 1, mtime: times[1], ctime });
      fixture.cache.publish(ino);
      expect(fixture.attributes(ino)).toMatchObject({ sizeBytes: 1, mtime: times[1], ctime });
    }
  });

  it("before a write loses, and so does its ctime", async () => {
    const ino = await fixture.file("f");
    const set = await change(ino, { mtime: times[2]! });
    const { handle } = await fixture.fs.open(ino, O_WRONLY);
    expect(fixture.attributes(ino).mtime).toEqual(times[2]);
    write(ino, "x");
    fixture.fs.release(handle);
    const { mtime, ctime } = fixture.attributes(ino);
    expect(compareTimes(mtime, times[2]!)).toBeLessThan(0);
    expect(ctime).toEqual(mtime);
    expect(compareTimes(ctime, set.ctime)).toBeGreaterThan(0);
  });

  it("of a clean file changes the volume's record, and not its version", async () => {
    const ino = await fixture.file("f");
    fixture.cache.publish(ino);
    await fixture.cache.evict(ino);
    const before = fixture.metadata.content(ino);
    await change(ino, { mtime: times[0]! });
    expect(fixture.metadata.content(ino)).toEqual({ ...before, mtime: times[0] });
    expect(fixture.metadata.local(ino)).toBeUndefined();
    expect(fixture.attributes(ino).mtime).toEqual(times[0]);
  });
});

describe("ctime of a file", () => {
  it("moves with each write, and stays at the later of write and chmod", async () => {
    const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_WRONLY);
    const { ino } = attributes;
    write(ino, "x");
    const written = fixture.attributes(ino);
    expect(written.ctime).toEqual(written.mtime);
    const { ctime } = await change(ino, { mode: 0o600 });
    expect(fixture.attributes(ino)).toMatchObject({ mtime: written.mtime, ctime });
    write(ino, "y");
    fixture.fs.release(opened.handle);
    const { mtime } = fixture.attributes(ino);
    expect(compareTimes(mtime, ctime)).toBeGreaterThan(0);
    expect(fixture.attributes(ino).ctime).toEqual(mtime);
    await fixture.restart();
    expect(fixture.attributes(ino)).toMatchObject({ mtime, ctime: mtime });
  });

  it("never precedes its creation by the kernel's clock tick", async () => {
    const { attributes } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_WRONLY);
    const { sec, nsec } = attributes.mtime;
    fixture.cache.opened(attributes.ino)!.file.setMtime(sec, nsec - 1_000_000);
    expect(fixture.attributes(attributes.ino)).toMatchObject({ mtime: attributes.mtime, ctime: attributes.ctime });
  });
});

describe("attributes of a file", () => {
  it("are the open file's while somebody writes, and must not be kept meanwhile", async () => {
    const ino = await fixture.file("f");
    const reader = await fixture.fs.open(ino, O_RDONLY);
    expect(fixture.attributes(ino).cacheable).toBe(true);
    const writer = await fixture.fs.open(ino, O_RDWR);
    write(ino, "12345");
    expect(fixture.attributes(ino)).toMatchObject({ sizeBytes: 5, diskBytes: 512, cacheable: false });
    expect(fixture.lookup("f")).toMatchObject({ sizeBytes: 5, cacheable: false });
    fixture.fs.release(writer.handle);
    fixture.fs.release(reader.handle);
    expect(fixture.attributes(ino)).toMatchObject({ sizeBytes: 5, cacheable: true });
  });
});

describe("truncate", () => {
  it("works by path and by handle, and marks the times even when the size stays", async () => {
    const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_RDWR);
    const { ino } = attributes;
    write(ino, "hello");
    const byHandle = await change(ino, { sizeBytes: 3, handle: opened.handle });
    expect(byHandle).toMatchObject({ sizeBytes: 3, mtime: byHandle.ctime });
    fixture.fs.release(opened.handle);
    const same = await change(ino, { sizeBytes: 3 });
    expect(compareTimes(same.mtime, byHandle.mtime)).toBeGreaterThan(0);
    const longer = await change(ino, { sizeBytes: 6 });
    expect(longer).toMatchObject({ sizeBytes: 6, mtime: longer.ctime, cacheable: true });
    expect(fixture.cache.bytesOf(ino)).toEqual(Buffer.from("hel\0\0\0"));
    expect(fixture.cache.opened(ino)).toBeUndefined();
  });

  it("fetches what is not there", async () => {
    const ino = await fixture.file("f");
    await change(ino, { sizeBytes: 4 });
    fixture.cache.publish(ino);
    await fixture.cache.evict(ino);
    expect(await change(ino, { sizeBytes: 2 })).toMatchObject({ sizeBytes: 2 });
    expect(fixture.cache.bytesOf(ino)).toHaveLength(2);
  });

  it("is refused where it makes no sense", async () => {
    const ino = await fixture.file("f");
    await expect(change(ino, { sizeBytes: -1 })).rejects.toMatchObject({ kind: "invalid" });
    await expect(change(ino, { sizeBytes: 2 ** 54 })).rejects.toMatchObject({ kind: "file-too-large" });
    await expect(change(fixture.directory("d"), { sizeBytes: 0 })).rejects.toMatchObject({ kind: "is-directory" });
  });

  it("happens with O_TRUNC, and marks the times", async () => {
    const ino = await fixture.file("f");
    await change(ino, { sizeBytes: 4 });
    const before = fixture.attributes(ino);
    const { handle } = await fixture.fs.open(ino, O_WRONLY | O_TRUNC);
    const after = fixture.attributes(ino);
    expect(after.sizeBytes).toBe(0);
    expect(compareTimes(after.mtime, before.mtime)).toBeGreaterThan(0);
    expect(after.ctime).toEqual(after.mtime);
    fixture.fs.release(handle);
    expect(fixture.attributes(ino)).toMatchObject({ mtime: after.mtime, ctime: after.ctime });
  });
});

describe("statfs", () => {
  it("counts what is used", async () => {
    const ino = await fixture.file("f");
    await change(ino, { sizeBytes: 1000 });
    fixture.cache.publish(ino);
    const { totalBytes, freeBytes, files, freeFiles } = fixture.fs.totals();
    expect([totalBytes - freeBytes, files - freeFiles]).toEqual([1000, 2]);
  });
});
