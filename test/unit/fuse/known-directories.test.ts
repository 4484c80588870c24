import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import { KnownDirectories } from "../../../src/fuse/native/known-directories.js";
import { FsFixture, nameOf } from "../../support/fs-fixture.js";

const MISSES = 16;
const PAUSE_MISSES = 10_000;

describe("directories in which many names are not there", () => {
  let fixture: FsFixture;
  let told: { readonly directory: number; readonly names: string[] }[];
  let known: KnownDirectories;

  beforeEach(() => {
    fixture = new FsFixture();
    told = [];
    known = new KnownDirectories(fixture.fs, {
      knowNames: (directory, names) =>
        void told.push({ directory, names: Buffer.from(names).toString("latin1").split("\0").slice(0, -1) }),
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

  it("are not listed again soon: misses go on in them, of names that came and went", () => {
    miss(ROOT_INO, MISSES);
    miss(ROOT_INO, PAUSE_MISSES - 1);
    expect(told).toHaveLength(1);
    miss(ROOT_INO, 1);
    expect(told).toHaveLength(2);
  });

  it("are left alone when they are large", () => {
    const directory = fixture.directory("d");
    for (let i = 0; i < 1000; i++) fixture.directory(`n${i}`, directory);
    miss(directory, MISSES + 3 * PAUSE_MISSES);
    expect(told).toHaveLength(0);
  });
});
