import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import { FsFixture, kindOf, nameOf, O_EXCL, O_RDWR, O_WRONLY, ROOT_CALLER, USER } from "../../support/fs-fixture.js";

let fixture: FsFixture;
beforeEach(() => {
  fixture = new FsFixture();
});
afterEach(() => fixture.dispose());

describe("names", () => {
  it("are found, and not found", () => {
    const ino = fixture.directory("d");
    expect(fixture.lookup("d").ino).toBe(ino);
    expect(kindOf(() => fixture.lookup("e"))).toBe("not-found");
    expect(kindOf(() => fixture.lookup("e".repeat(256)))).toBe("name-too-long");
    expect(kindOf(() => fixture.lookup("e".repeat(255)))).toBe("not-found");
  });

  it("are bytes: any but NUL and slash", () => {
    const name = Buffer.from([1, 0x80, 0xff, 0x20, 0x0a]).toString("latin1") as ReturnType<typeof nameOf>;
    const { ino } = fixture.fs.makeDirectory(ROOT_CALLER, ROOT_INO, name, 0o755);
    expect(fixture.fs.lookup(ROOT_INO, name).ino).toBe(ino);
    expect(fixture.names()).toEqual([name]);
  });

  it("cannot be made twice, nor be dots, nor be empty", () => {
    fixture.directory("d");
    expect(kindOf(() => fixture.directory("d"))).toBe("exists");
    for (const name of ["", ".", "..", "a/b"]) expect(kindOf(() => fixture.directory(name))).toBe("invalid");
  });

  it("cannot be made in what is no directory, or in a removed one", async () => {
    const file = await fixture.file("f");
    expect(kindOf(() => fixture.directory("d", file))).toBe("not-directory");
    const removed = fixture.directory("r");
    fixture.fs.removeDirectory(ROOT_CALLER, ROOT_INO, nameOf("r"));
    expect(kindOf(() => fixture.directory("d", removed))).toBe("not-found");
    expect(kindOf(() => fixture.fs.rename(ROOT_CALLER, ROOT_INO, nameOf("f"), removed, nameOf("f"), "replace"))).toBe(
      "not-found",
    );
  });
});

describe("a new inode", () => {
  it("has its creator's ids, the given mode, one link and one time", () => {
    const { mode, uid, gid, nlink, atime, mtime, ctime, btime } = fixture.fs.makeNode(
      USER,
      ROOT_INO,
      nameOf("n"),
      0o100640,
      0,
    );
    expect({ mode, uid, gid, nlink }).toEqual({ mode: 0o100640, uid: 1000, gid: 1000, nlink: 1 });
    expect([mtime, ctime, btime]).toEqual([atime, atime, atime]);
    expect(fixture.attributes(ROOT_INO).mtime).toEqual(mtime);
    expect(fixture.attributes(ROOT_INO).ctime).toEqual(mtime);
  });

  it("inherits the group of a set-group-ID directory, and a directory the bit", async () => {
    const parent = fixture.directory("p");
    await fixture.fs.setAttributes(ROOT_CALLER, parent, { mode: 0o2775, gid: 77 });
    const directory = fixture.fs.makeDirectory(USER, parent, nameOf("d"), 0o755);
    const file = fixture.fs.makeNode(USER, parent, nameOf("f"), 0o100755, 0);
    expect([directory.gid, directory.mode]).toEqual([77, 0o42755]);
    expect([file.gid, file.mode]).toEqual([77, 0o100755]);
  });

  it("is of the type asked for", () => {
    const rdev = 0x103;
    const make = (name: string, mode: number) => fixture.fs.makeNode(ROOT_CALLER, ROOT_INO, nameOf(name), mode, rdev);
    expect(make("fifo", 0o010600)).toMatchObject({ mode: 0o010600, rdev: 0 });
    expect(make("socket", 0o140600)).toMatchObject({ mode: 0o140600, rdev: 0 });
    expect(make("char", 0o020600)).toMatchObject({ mode: 0o020600, rdev });
    expect(make("block", 0o060600)).toMatchObject({ mode: 0o060600, rdev });
    expect(make("plain", 0o600)).toMatchObject({ mode: 0o100600, sizeBytes: 0 });
    expect(kindOf(() => make("directory", 0o040700))).toBe("invalid");
  });

  it("never has the number of another, whatever came between", async () => {
    const seen = new Set<Ino>();
    for (let i = 0; i < 5; i++) {
      const { attributes, opened } = await fixture.fs.createTemporary(USER, ROOT_INO, 0o600, O_RDWR);
      seen.add(attributes.ino);
      seen.add(await fixture.file(`f${i}`));
      fixture.fs.release(opened.handle);
      fixture.fs.forget(attributes.ino, 1);
      fixture.fs.unlink(ROOT_CALLER, ROOT_INO, nameOf(`f${i}`));
      seen.add(fixture.directory(`d${i}`));
    }
    expect(seen.size).toBe(15);
  });
});

describe("a symlink", () => {
  it("has its target, up to 4095 bytes", () => {
    const target = "x/".repeat(2047);
    const { ino, mode, sizeBytes } = fixture.fs.makeSymlink(USER, ROOT_INO, nameOf("s"), target);
    expect([mode, sizeBytes]).toEqual([0o120777, target.length]);
    expect(fixture.fs.readLink(ino)).toBe(target);
    const tooLong = "x".repeat(4096);
    expect(kindOf(() => fixture.fs.makeSymlink(USER, ROOT_INO, nameOf("t"), tooLong))).toBe("name-too-long");
    expect(kindOf(() => fixture.fs.readLink(ROOT_INO))).toBe("invalid");
  });
});

describe("create", () => {
  it("makes an empty file that is open for writing", async () => {
    const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o640, O_WRONLY);
    expect(attributes).toMatchObject({ mode: 0o100640, uid: 1000, nlink: 1, sizeBytes: 0, cacheable: false });
    expect(opened.content.writers).toBe(1);
    expect(fixture.attributes(attributes.ino)).toEqual(attributes);
    fixture.fs.release(opened.handle);
    expect(fixture.attributes(attributes.ino)).toEqual({ ...attributes, cacheable: true });
  });

  it("answers at once when a spare content file is there, and later when not", async () => {
    expect(fixture.fs.create(USER, ROOT_INO, nameOf("a"), 0o600, O_WRONLY)).not.toBeInstanceOf(Promise);
    fixture.cache.spares = 0;
    const later = fixture.fs.create(USER, ROOT_INO, nameOf("b"), 0o600, O_WRONLY);
    expect(later).toBeInstanceOf(Promise);
    expect(kindOf(() => fixture.lookup("b"))).toBe("not-found");
    expect((await later).attributes.ino).toBe(fixture.lookup("b").ino);
  });

  it("opens a file that is there already, unless it must be new", async () => {
    const ino = await fixture.file("f");
    const { attributes, opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o600, O_RDWR);
    expect(attributes.ino).toBe(ino);
    fixture.fs.release(opened.handle);
    expect(kindOf(() => fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o600, O_RDWR | O_EXCL))).toBe("exists");
    expect(fixture.cache.abandoned).toEqual([]);
  });

  it("gives the content file back when the name cannot be made", () => {
    const notDirectory = fixture.fs.makeSymlink(USER, ROOT_INO, nameOf("s"), "t").ino;
    expect(kindOf(() => fixture.fs.create(USER, notDirectory, nameOf("f"), 0o600, O_RDWR))).toBe("not-directory");
    expect(fixture.cache.opened((notDirectory + 1) as Ino)).toBeUndefined();
  });

  it("keeps files with privileges away from passthrough", async () => {
    const { opened } = await fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o4755, O_WRONLY);
    expect(opened.content.mode).toBe("served");
  });

  it("records what the operation must not be published before", async () => {
    const operations: unknown[] = [];
    fixture.metadata.onOperation(({ dependencies }) => operations.push(dependencies));
    const ino = await fixture.file("f");
    fixture.directory("d");
    expect(operations).toMatchObject([{ directories: [ROOT_INO], content: ino }, { directories: [ROOT_INO] }]);
  });
});

describe("a read-only mount", () => {
  it("refuses every change, and reads", async () => {
    const readOnly = new FsFixture({ isReadOnly: () => true });
    const { fs } = readOnly;
    const attempts = [
      () => fs.makeDirectory(USER, ROOT_INO, nameOf("d"), 0o755),
      () => fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_WRONLY),
      () => fs.createTemporary(USER, ROOT_INO, 0o644, O_WRONLY),
      () => fs.unlink(USER, ROOT_INO, nameOf("f")),
      () => fs.removeDirectory(USER, ROOT_INO, nameOf("f")),
      () => fs.rename(USER, ROOT_INO, nameOf("f"), ROOT_INO, nameOf("g"), "replace"),
      () => fs.link(USER, ROOT_INO, ROOT_INO, nameOf("f")),
      () => fs.setAttributes(USER, ROOT_INO, { mode: 0o700 }),
      () => fs.setXattr(USER, ROOT_INO, nameOf("user.a"), Buffer.of(1), 0),
      () => fs.removeXattr(USER, ROOT_INO, nameOf("user.a")),
    ];
    for (const attempt of attempts) expect(kindOf(attempt)).toBe("read-only");
    expect(readOnly.names()).toEqual([]);
    await readOnly.dispose();
  });
});
