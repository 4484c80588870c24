import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import type { RenameMode } from "../../../src/fs/index.js";
import { FsFixture, kindOf, nameOf, O_RDWR, ROOT_CALLER, USER } from "../../support/fs-fixture.js";

let fixture: FsFixture;
beforeEach(() => {
  fixture = new FsFixture();
});
afterEach(() => fixture.dispose());

const unlink = (name: string, parent: Ino = ROOT_INO) => fixture.fs.unlink(ROOT_CALLER, parent, nameOf(name));
const rmdir = (name: string, parent: Ino = ROOT_INO) => fixture.fs.removeDirectory(ROOT_CALLER, parent, nameOf(name));
const link = (ino: Ino, name: string, parent: Ino = ROOT_INO) =>
  fixture.fs.link(ROOT_CALLER, ino, parent, nameOf(name));
function rename(from: string, to: string, mode: RenameMode = "replace", parent: Ino = ROOT_INO, newParent = parent) {
  fixture.fs.rename(ROOT_CALLER, parent, nameOf(from), newParent, nameOf(to), mode);
}
const nlink = (ino: Ino) => fixture.attributes(ino).nlink;

describe("link", () => {
  it("adds a name, moves ctime and leaves mtime", async () => {
    const ino = await fixture.file("a");
    const before = fixture.attributes(ino);
    const after = link(ino, "b");
    expect(after).toMatchObject({ ino, nlink: 2, mtime: before.mtime });
    expect(after.ctime).not.toEqual(before.ctime);
    expect(fixture.attributes(ROOT_INO).mtime).toEqual(after.ctime);
    unlink("a");
    expect(fixture.lookup("b")).toMatchObject({ ino, nlink: 1 });
  });

  it("refuses directories, existing names and too many links", async () => {
    const directory = fixture.directory("d");
    const file = await fixture.file("f");
    expect(kindOf(() => link(directory, "e"))).toBe("not-permitted");
    expect(kindOf(() => link(file, "d"))).toBe("exists");
    const limited = new FsFixture({ limits: { linkCountMax: 2 } });
    const ino = await limited.file("f");
    limited.fs.link(USER, ino, ROOT_INO, nameOf("g"));
    expect(kindOf(() => limited.fs.link(USER, ino, ROOT_INO, nameOf("h")))).toBe("too-many-links");
    await limited.dispose();
  });

  it("does not bring back what was unlinked", async () => {
    const { attributes } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o600, O_RDWR);
    unlink("f");
    expect(kindOf(() => link(attributes.ino, "g"))).toBe("not-found");
  });

  it("names a temporary file, with what it has become", async () => {
    const { attributes, opened } = await fixture.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
    const { ino } = attributes;
    expect(attributes.nlink).toBe(0);
    fixture.cache.opened(ino)?.file.writeSync(Buffer.from("hello"), 0);
    await fixture.fs.setAttributes(USER, ino, { mode: 0o640, mtime: { sec: 7, nsec: 8 } });
    fixture.fs.setXattr(USER, ino, nameOf("user.a"), Buffer.from("v"), 0);
    expect(link(ino, "named")).toMatchObject({
      ino,
      nlink: 1,
      mode: 0o100640,
      sizeBytes: 5,
      mtime: { sec: 7, nsec: 8 },
    });
    fixture.fs.release(opened.handle);
    fixture.fs.forget(ino, 2);
    expect(fixture.lookup("named")).toMatchObject({ ino, sizeBytes: 5, mtime: { sec: 7, nsec: 8 } });
    expect(Buffer.from(fixture.fs.getXattr(ino, nameOf("user.a"))).toString()).toBe("v");
  });
});

describe("link in place of another file", () => {
  const replace = (ino: Ino, name: string, parent: Ino = ROOT_INO) =>
    fixture.fs.link(USER, ino, parent, nameOf(name), "replace");
  const temporary = async () => {
    const { attributes, opened } = await fixture.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
    return { ino: attributes.ino, handle: opened.handle };
  };

  it("names a temporary file and takes the name from the other, in one operation", async () => {
    const old = await fixture.file("a");
    fixture.fs.link(USER, old, ROOT_INO, nameOf("b"));
    const { ino } = await temporary();
    const before = [...fixture.metadata.pendingOperations()].length;
    expect(replace(ino, "a")).toMatchObject({ ino, nlink: 1 });
    expect([...fixture.metadata.pendingOperations()]).toHaveLength(before + 1);
    expect(fixture.lookup("a").ino).toBe(ino);
    expect(nlink(old)).toBe(1);
    const second = await temporary();
    replace(second.ino, "b");
    expect(nlink(old)).toBe(0);
    await fixture.restart();
    expect(fixture.names()).toEqual(["a", "b"]);
    expect(fixture.lookup("b").ino).toBe(second.ino);
    expect(kindOf(() => fixture.attributes(old))).toBe("stale");
  });

  it("names it as well where nothing is to be replaced", async () => {
    const { ino } = await temporary();
    expect(replace(ino, "a")).toMatchObject({ ino, nlink: 1 });
  });

  it("leaves the replaced file to those who have it open", async () => {
    const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("a"), 0o600, O_RDWR);
    fixture.cache.opened(attributes.ino)?.file.writeSync(Buffer.from("old"), 0);
    replace((await temporary()).ino, "a");
    expect(fixture.attributes(attributes.ino)).toMatchObject({ nlink: 0, sizeBytes: 3 });
    fixture.fs.release(opened.handle);
    fixture.fs.forget(attributes.ino, 1);
    expect(kindOf(() => fixture.attributes(attributes.ino))).toBe("stale");
  });

  it("refuses directories, files that have a name, and directories that are gone", async () => {
    const directory = fixture.directory("d");
    const named = await fixture.file("f");
    const { ino } = await temporary();
    expect(kindOf(() => replace(ino, "d"))).toBe("is-directory");
    expect(kindOf(() => replace(ino, "x", named))).toBe("not-directory");
    expect(kindOf(() => replace(named, "g"))).toBe("invalid");
    fixture.fs.removeDirectory(USER, ROOT_INO, nameOf("d"));
    expect(kindOf(() => replace(ino, "x", directory))).toBe("not-found");
    expect(fixture.attributes(ino).nlink).toBe(0);
  });
});

describe("a temporary file that is never named", () => {
  it("goes with its last handle, and after a crash", async () => {
    const { attributes, opened } = await fixture.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
    const other = await fixture.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
    fixture.fs.forget(attributes.ino, 1);
    expect(fixture.attributes(attributes.ino).nlink).toBe(0);
    fixture.fs.release(opened.handle);
    expect(kindOf(() => fixture.attributes(attributes.ino))).toBe("stale");
    expect(fixture.metadata.local(attributes.ino)).toBeUndefined();
    await fixture.restart();
    expect(fixture.metadata.local(other.attributes.ino)).toBeUndefined();
    expect(fixture.names()).toEqual([]);
  });
});

describe("unlink", () => {
  it("refuses directories and names that are not there", () => {
    fixture.directory("d");
    expect(kindOf(() => unlink("d"))).toBe("is-directory");
    expect(kindOf(() => unlink("e"))).toBe("not-found");
  });

  it("leaves an open file readable, changeable and without a name", async () => {
    const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o600, O_RDWR);
    const { ino } = attributes;
    fixture.fs.setXattr(USER, ino, nameOf("user.a"), Buffer.from("v"), 0);
    unlink("f");
    expect(kindOf(() => fixture.lookup("f"))).toBe("not-found");
    fixture.cache.opened(ino)?.file.writeSync(Buffer.from("hello"), 0);
    expect(fixture.attributes(ino)).toMatchObject({ nlink: 0, sizeBytes: 5 });
    expect(await fixture.fs.setAttributes(USER, ino, { sizeBytes: 2, handle: opened.handle })).toMatchObject({
      sizeBytes: 2,
    });
    expect(await fixture.fs.setAttributes(USER, ino, { mode: 0o400, mtime: { sec: 1, nsec: 2 } })).toMatchObject({
      mode: 0o100400,
      mtime: { sec: 1, nsec: 2 },
    });
    expect(fixture.fs.listXattrs(ino)).toEqual(["user.a"]);
    const again = await fixture.fs.open(ino, O_RDWR);
    fixture.fs.release(opened.handle);
    fixture.fs.forget(ino, 1);
    expect(fixture.attributes(ino).sizeBytes).toBe(2);
    await fixture.fs.sync(again.handle, false);
    expect(fixture.published).toEqual([]);
    fixture.fs.release(again.handle);
    expect(kindOf(() => fixture.attributes(ino))).toBe("stale");
    expect(fixture.metadata.garbage(10)).toEqual([]);
  });

  it("leaves no record behind, even if the process is killed while the file is open", async () => {
    const { attributes } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o600, O_RDWR);
    const { ino } = attributes;
    fixture.fs.setXattr(USER, ino, nameOf("user.a"), Buffer.from("v"), 0);
    unlink("f");
    await fixture.restart();
    expect(fixture.metadata.inode(ino)).toBeUndefined();
    expect(fixture.metadata.content(ino)).toBeUndefined();
    expect(fixture.metadata.local(ino)).toBeUndefined();
    expect(fixture.metadata.xattrNames(ino)).toEqual([]);
    expect(fixture.metadata.garbage(10)).toHaveLength(1);
    expect(fixture.metadata.totals()).toEqual({ inodes: 1, contentBytes: 0 });
  });
});

describe("rmdir", () => {
  it("removes an empty directory only", async () => {
    const directory = fixture.directory("d");
    await fixture.file("f", directory);
    await fixture.file("g");
    expect(kindOf(() => rmdir("d"))).toBe("not-empty");
    expect(kindOf(() => rmdir("g"))).toBe("not-directory");
    expect(kindOf(() => rmdir("h"))).toBe("not-found");
    expect(nlink(ROOT_INO)).toBe(3);
    unlink("f", directory);
    rmdir("d");
    expect(nlink(ROOT_INO)).toBe(2);
  });

  it("leaves an open directory empty and without links", () => {
    const directory = fixture.directory("d");
    const handle = fixture.fs.openDirectory(directory);
    rmdir("d");
    expect(fixture.attributes(directory)).toMatchObject({ nlink: 0, mode: 0o40755 });
    expect(fixture.fs.readDirectory(handle, 0, 10)).toHaveLength(2);
    fixture.fs.forget(directory, 1);
    expect(nlink(directory)).toBe(0);
    fixture.fs.releaseDirectory(handle);
    expect(kindOf(() => fixture.attributes(directory))).toBe("stale");
  });
});

describe("rename", () => {
  it("moves a name and the ctime of what it names", async () => {
    const target = fixture.directory("t");
    const ino = await fixture.file("a");
    const before = fixture.attributes(ino);
    rename("a", "b", "replace", ROOT_INO, target);
    const after = fixture.lookup("b", target);
    expect(after).toMatchObject({ ino, mtime: before.mtime, nlink: 1 });
    expect(after.ctime).not.toEqual(before.ctime);
    expect(fixture.attributes(target).mtime).toEqual(after.ctime);
    expect(fixture.attributes(ROOT_INO).mtime).toEqual(after.ctime);
    expect(fixture.names()).toEqual(["t"]);
  });

  it("carries a directory's link from one parent to the other, and its own times but ctime", () => {
    const from = fixture.directory("from");
    const to = fixture.directory("to");
    const moved = fixture.directory("d", from);
    const { mtime, ctime } = fixture.attributes(moved);
    rename("d", "e", "replace", from, to);
    expect([nlink(from), nlink(to), nlink(moved)]).toEqual([2, 3, 2]);
    expect(fixture.attributes(moved).mtime).toEqual(mtime);
    expect(fixture.attributes(moved).ctime).not.toEqual(ctime);
  });

  it("replaces a file, which lives on for those who have it open", async () => {
    const old = await fixture.fs.create(USER, ROOT_INO, nameOf("old"), 0o600, O_RDWR);
    const ino = await fixture.file("new");
    rename("new", "old");
    expect(fixture.lookup("old").ino).toBe(ino);
    expect(nlink(old.attributes.ino)).toBe(0);
    fixture.fs.forget(old.attributes.ino, 1);
    fixture.fs.release(old.opened.handle);
    expect(kindOf(() => nlink(old.attributes.ino))).toBe("stale");
  });

  it("takes one name from a replaced file that has others", async () => {
    const ino = await fixture.file("a");
    link(ino, "b");
    await fixture.file("c");
    rename("c", "b");
    expect(nlink(ino)).toBe(1);
  });

  it("replaces an empty directory by a directory", async () => {
    const source = fixture.directory("a");
    const target = fixture.directory("b");
    await fixture.file("f", target);
    expect(kindOf(() => rename("a", "b"))).toBe("not-empty");
    unlink("f", target);
    rename("a", "b");
    expect(fixture.lookup("b").ino).toBe(source);
    expect(nlink(target)).toBe(0);
    expect(nlink(ROOT_INO)).toBe(3);
  });

  it("does not mix files and directories", async () => {
    fixture.directory("d");
    await fixture.file("f");
    expect(kindOf(() => rename("f", "d"))).toBe("is-directory");
    expect(kindOf(() => rename("d", "f"))).toBe("not-directory");
    expect(kindOf(() => rename("d", "e", "replace", ROOT_INO, fixture.lookup("d").ino))).toBe("invalid");
  });

  it("does nothing between two names of one file, or a name and itself", async () => {
    const ino = await fixture.file("a");
    link(ino, "b");
    const before = fixture.attributes(ino);
    rename("a", "b");
    rename("a", "a");
    expect(fixture.names()).toEqual(["a", "b"]);
    expect(fixture.attributes(ino)).toEqual(before);
  });

  it("refuses to replace when told not to", async () => {
    await fixture.file("a");
    await fixture.file("b");
    expect(kindOf(() => rename("a", "b", "no-replace"))).toBe("exists");
    expect(kindOf(() => rename("a", "a", "no-replace"))).toBe("exists");
    rename("a", "c", "no-replace");
    expect(fixture.names()).toEqual(["b", "c"]);
  });

  it("exchanges a file and a directory, and the links of their parents", async () => {
    const p = fixture.directory("p");
    const q = fixture.directory("q");
    const file = await fixture.file("f", p);
    const directory = fixture.directory("d", q);
    rename("f", "d", "exchange", p, q);
    expect(fixture.lookup("f", p).ino).toBe(directory);
    expect(fixture.lookup("d", q).ino).toBe(file);
    expect([nlink(p), nlink(q)]).toEqual([3, 2]);
    expect(kindOf(() => rename("f", "x", "exchange", p, q))).toBe("not-found");
  });

  it("says what it must not be published before", async () => {
    const source = fixture.directory("s");
    const ino = await fixture.file("a", source);
    const replaced = fixture.directory("t");
    const other = fixture.directory("u");
    const operations: unknown[] = [];
    fixture.metadata.onOperation(({ dependencies }) => operations.push(dependencies));
    rename("a", "b", "replace", source, ROOT_INO);
    rename("u", "t");
    rmdir("s");
    expect(operations).toMatchObject([
      { directories: [source, ROOT_INO], inodes: [ino], content: ino },
      { directories: [ROOT_INO], inodes: [other, replaced], removedDirectories: [replaced] },
      { directories: [ROOT_INO], removedDirectories: [source] },
    ]);
  });
});
