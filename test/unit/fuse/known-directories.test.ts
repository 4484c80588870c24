import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import { KnownDirectories } from "../../../src/fuse/native/known-directories.js";
import { FsFixture, nameOf } from "../../support/fs-fixture.js";

const MISSES = 16;

describe("directories in which many names are not there", () => {
  let fixture: FsFixture;
  let told: { readonly directory: number; readonly names: string[] }[];
  let takes: boolean;
  let known: KnownDirectories;

  beforeEach(() => {
    fixture = new FsFixture();
    told = [];
    takes = true;
    known = new KnownDirectories(fixture.fs, {
      knowNames: (directory, names) => {
        if (takes) told.push({ directory, names: Buffer.from(names).toString("latin1").split("\0").slice(0, -1) });
        return takes;
      },
    });
  });
  afterEach(() => fixture.dispose());

  function miss(directory: Ino, times: number): void {
    for (let i = 0; i < times; i++) known.missed(directory);
  }

  it("are listed for the engine, each by itself", async () => {
    const directory = fixture.directory("d");
    await fixture.file("one", directory);
    await fixture.file("two \xff", directory);
    miss(ROOT_INO, MISSES - 1);
    miss(directory, MISSES - 1);
    expect(told).toEqual([]);
    miss(directory, 1);
    expect(told.map(({ directory }) => directory)).toEqual([directory]);
    expect(told[0]?.names).toEqual([".", "..", "one", nameOf("two \xff")]);
  });

  it("are listed again when the engine has forgotten them", () => {
    miss(ROOT_INO, 3 * MISSES);
    expect(told).toHaveLength(3);
  });

  it("are listed at the next miss when the engine could not take them", () => {
    takes = false;
    miss(ROOT_INO, MISSES);
    takes = true;
    expect(told).toHaveLength(0);
    miss(ROOT_INO, 1);
    expect(told).toHaveLength(1);
  });

  it("are left alone for long when they are large", () => {
    const directory = fixture.directory("d");
    for (let i = 0; i < 1000; i++) fixture.directory(`n${i}`, directory);
    miss(directory, 10_000);
    expect(told).toHaveLength(0);
    miss(directory, 100_000);
    expect(told).toHaveLength(0);
  });
});
