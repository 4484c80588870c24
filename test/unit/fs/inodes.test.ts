import { describe, expect, it } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { InodeTable } from "../../../src/fs/inodes.js";

const INO = 4711 as Ino;
/** Beyond 32 bits: numbers of operations grow for as long as the volume is used. */
const LARGE = (2 ** 40 + 3) as Ino;

describe("lookup counts", () => {
  it.each([INO, LARGE])("knows inode %d until its last lookup is forgotten", (ino) => {
    const inodes = new InodeTable();
    for (let count = 0; count < 20; count++) inodes.countLookup(ino);

    expect(inodes.forget(ino, 5)).toBe(false);
    expect(inodes.forget(ino, 14)).toBe(false);
    expect(inodes.isKnown(ino)).toBe(true);
    expect(inodes.forget(ino, 1)).toBe(true);
    expect(inodes.isKnown(ino)).toBe(false);
  });

  it("counts neighbours apart", () => {
    const inodes = new InodeTable();
    for (let ino = 100; ino < 200; ino++) inodes.countLookup(ino as Ino);
    for (let ino = 100; ino < 200; ino += 2) expect(inodes.forget(ino as Ino, 1)).toBe(true);

    const known = Array.from({ length: 100 }, (_, index) => 100 + index).filter((ino) => inodes.isKnown(ino as Ino));
    expect(known).toEqual(Array.from({ length: 50 }, (_, index) => 101 + 2 * index));
  });

  it("breaks an invariant when more is forgotten than was looked up", () => {
    const inodes = new InodeTable();
    inodes.countLookup(INO);
    expect(() => inodes.forget(INO, 2)).toThrow("which has 1");
  });

  it("has the root from the start", () => {
    expect(new InodeTable().isKnown(1 as Ino)).toBe(true);
  });
});

describe("outdated pages", () => {
  it("are taken once, whatever is counted meanwhile", () => {
    const inodes = new InodeTable();
    inodes.countLookup(INO);
    inodes.markPagesOutdated(INO);
    for (let count = 0; count < 10; count++) inodes.countLookup(INO);

    expect(inodes.forget(INO, 8)).toBe(false);
    expect(inodes.takePagesOutdated(INO)).toBe(true);
    expect(inodes.takePagesOutdated(INO)).toBe(false);
    expect(inodes.forget(INO, 3)).toBe(true);
  });

  it("are nobody's when the kernel has forgotten the inode", () => {
    const inodes = new InodeTable();
    inodes.markPagesOutdated(INO);
    expect(inodes.isKnown(INO)).toBe(false);

    inodes.countLookup(INO);
    inodes.markPagesOutdated(INO);
    inodes.forget(INO, 1);
    inodes.countLookup(INO);
    expect(inodes.takePagesOutdated(INO)).toBe(false);
  });
});
