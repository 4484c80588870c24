import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, type Name, ROOT_INO } from "../../../src/base/index.js";
import { NameTrail } from "../../../src/fs/name-trail.js";
import { FsFixture, kindOf, nameOf, ROOT_CALLER } from "../../support/fs-fixture.js";

let fixture: FsFixture;
beforeEach(() => {
  fixture = new FsFixture();
});
afterEach(() => fixture.dispose());

const make = (name: string) => fixture.fs.makeSymlink(ROOT_CALLER, ROOT_INO, nameOf(name), "t").ino;
const unlink = (name: string) => fixture.fs.unlink(ROOT_CALLER, ROOT_INO, nameOf(name));

describe("readDirectory", () => {
  it("lists the dots, then every entry with its type, in batches of any size", async () => {
    const directory = fixture.directory("dir");
    const file = await fixture.file("file");
    const handle = fixture.fs.openDirectory(ROOT_INO);
    expect(fixture.fs.readDirectory(handle, 0, 10)).toEqual([
      { name: ".", ino: ROOT_INO, type: 0o040000, cookie: 1 },
      { name: "..", ino: ROOT_INO, type: 0o040000, cookie: 2 },
      { name: "dir", ino: directory, type: 0o040000, cookie: 3 },
      { name: "file", ino: file, type: 0o100000, cookie: 4 },
    ]);
    for (const batch of [1, 2, 3, 4, 5]) expect(fixture.names(ROOT_INO, batch)).toEqual(["dir", "file"]);
  });

  it("goes on after any cookie it has given, also in the middle of a batch", () => {
    for (let i = 0; i < 100; i++) make(`n${i}`);
    const handle = fixture.fs.openDirectory(ROOT_INO);
    const all = fixture.fs.readDirectory(handle, 0, 1000);
    expect(all).toHaveLength(102);
    for (const index of [1, 30, 31, 32, 33, 64, 99, 101]) {
      expect(fixture.fs.readDirectory(handle, all[index]!.cookie, 1000)).toEqual(all.slice(index + 1));
    }
    expect(fixture.fs.readDirectory(handle, 5000, 10)).toEqual([]);
  });

  it("neither skips nor repeats what stays, while names come and go", () => {
    const stays = Array.from({ length: 200 }, (_, i) => `stay${String(i).padStart(3, "0")}`);
    for (const name of stays) make(name);
    for (let i = 0; i < 200; i++) make(`gone${i}`);
    const handle = fixture.fs.openDirectory(ROOT_INO);
    const seen: string[] = [];
    for (let cookie = 0, round = 0; ; round++) {
      const entries = fixture.fs.readDirectory(handle, cookie, 9);
      // The kernel takes only part of what it is given, and asks for the rest again.
      const taken = entries.slice(0, entries.length < 9 ? 9 : 5);
      seen.push(...taken.map((entry) => entry.name));
      const last = taken.at(-1);
      if (last === undefined) break;
      cookie = last.cookie;
      make(`a${round}`);
      if (round < 200) unlink(`gone${round}`);
    }
    expect(seen.filter((name) => name.startsWith("stay"))).toEqual(stays);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it("finds its place when the name at a cookie is gone", () => {
    for (const name of ["a", "b", "c", "d"]) make(name);
    const handle = fixture.fs.openDirectory(ROOT_INO);
    const [, , , b] = fixture.fs.readDirectory(handle, 0, 4);
    unlink("b");
    expect(fixture.fs.readDirectory(handle, b!.cookie, 10).map((entry) => entry.name)).toEqual(["c", "d"]);
  });

  it("sees the directory as it is after a rewind", () => {
    make("b");
    const handle = fixture.fs.openDirectory(ROOT_INO);
    expect(fixture.fs.readDirectory(handle, 0, 10)).toHaveLength(3);
    make("a");
    expect(fixture.fs.readDirectory(handle, 0, 10).map((entry) => entry.name)).toEqual([".", "..", "a", "b"]);
  });

  it("finds every place again after going back to the start of an unchanged directory", () => {
    for (let i = 0; i < 50; i++) make(`n${i}`);
    const handle = fixture.fs.openDirectory(ROOT_INO);
    const all = fixture.fs.readDirectory(handle, 0, 100);
    expect(fixture.fs.readDirectory(handle, 0, 5)).toEqual(all.slice(0, 5));
    expect(fixture.fs.readDirectory(handle, all[40]!.cookie, 100)).toEqual(all.slice(41));
  });

  it("needs an open handle of a directory", async () => {
    const file = await fixture.file("f");
    expect(kindOf(() => fixture.fs.openDirectory(file))).toBe("not-directory");
    expect(kindOf(() => fixture.fs.openDirectory(9999 as Ino))).toBe("stale");
    const handle = fixture.fs.openDirectory(ROOT_INO);
    fixture.fs.releaseDirectory(handle);
    expect(kindOf(() => fixture.fs.readDirectory(handle, 0, 1))).toBe("bad-handle");
  });

  it("syncs through the publisher", async () => {
    await fixture.fs.syncDirectory(fixture.fs.openDirectory(ROOT_INO));
    expect(fixture.published).toEqual([`directory ${ROOT_INO}`]);
  });
});

describe("the trail of names", () => {
  it("gives back what it was given, from any position", () => {
    const trail = new NameTrail();
    const names = Array.from({ length: 300 }, (_, i) => `${"p".repeat(i % 250)}${i}` as Name);
    names.push("é".repeat(127) as Name, "x".repeat(255) as Name);
    for (const name of names) trail.push(name);
    expect(trail.length).toBe(names.length);
    expect(trail.last).toBe(names.at(-1));
    for (const position of [0, 1, 31, 32, 33, 299, 301])
      expect([...trail.from(position)]).toEqual(names.slice(position));
    expect([...trail.from(302)]).toEqual([]);
    trail.clear();
    expect([...trail.from(0)]).toEqual([]);
  });
});
