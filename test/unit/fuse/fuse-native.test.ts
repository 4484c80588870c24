import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HandleId, type Name, ROOT_INO } from "../../../src/base/index.js";
import { HandleNumbers } from "../../../src/fuse/fuse-native/handle-numbers.js";
import { whyUnavailable } from "../../../src/fuse/fuse-native/package.js";
import { nameOfText, Paths, textOfName } from "../../../src/fuse/fuse-native/paths.js";
import { modificationTime } from "../../../src/fuse/fuse-native/repairs.js";
import { msOfTime, statfsOf, timeOfMs } from "../../../src/fuse/fuse-native/values.js";
import { loadAddon } from "../../../src/native/index.js";
import { TinyFileSystem } from "../../support/tiny-file-system.js";

const CALLER = { uid: 0, gid: 0, pid: 1 };

describe("paths", () => {
  let directory: string;
  let fileSystem: TinyFileSystem;
  let paths: Paths;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-paths-"));
    fileSystem = new TinyFileSystem({ addon: loadAddon(), directory, mode: "served" });
    paths = new Paths(fileSystem);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** Makes directories with no lookups held. */
  function make(path: string): void {
    const { parent, name } = paths.place(path);
    paths.once(fileSystem.makeDirectory(CALLER, parent, name, 0o755), () => undefined);
  }
  const inoOf = (path: string) => paths.use(path, ({ ino }) => ino);

  it("lead to inodes, and hold one lookup per directory on the way", async () => {
    for (const path of ["/a", "/a/b", "/a/b/c"]) make(path);
    expect(inoOf("/")).toBe(ROOT_INO);
    expect(new Set(["/a", "/a/b", "/a/b/c"].map(inoOf)).size).toBe(3);
    expect(fileSystem.lookups).toBe(2);
    const waiting = paths.use("/a/b/c", async () => fileSystem.lookups);
    expect(await waiting).toBe(3);
    expect(fileSystem.lookups).toBe(2);
    expect(() =>
      paths.use("/a/b/c", () => {
        throw new Error("used");
      }),
    ).toThrow("used");
    expect(fileSystem.lookups).toBe(2);
    expect(() => inoOf("/a/x/c")).toThrow(/not-found/);
  });

  it("follow renames and removals once they are told", () => {
    for (const path of ["/a", "/a/b", "/a/b/c", "/ab", "/ab/c"]) make(path);
    const [moved, other] = [inoOf("/a/b/c"), inoOf("/ab/c")];
    fileSystem.rename(CALLER, ROOT_INO, "a" as Name, ROOT_INO, "z" as Name, "replace");
    paths.forgetBelow("/a");
    expect(inoOf("/z/b/c")).toBe(moved);
    expect(() => inoOf("/a/b/c")).toThrow(/not-found/);
    expect(inoOf("/ab/c")).toBe(other);
    paths.forgetBelow("/z");
    paths.forgetBelow("/ab");
    expect(fileSystem.lookups).toBe(0);
  });

  it("are text, and names are bytes", () => {
    expect(nameOfText("☃")).toBe("\xe2\x98\x83");
    expect(textOfName("\xe2\x98\x83")).toBe("☃");
  });
});

describe("what the package gets and gives", () => {
  it("has times of milliseconds, none before 1970", () => {
    expect(timeOfMs(1_500_000_000_123)).toEqual({ sec: 1_500_000_000, nsec: 123_000_000 });
    expect(msOfTime({ sec: 1_500_000_000, nsec: 123_999_999 })).toBe(1_500_000_000_123);
    expect(msOfTime({ sec: -2, nsec: 0 })).toBe(0);
  });

  it("has block counts of 32 bits", () => {
    const totals = { totalBytes: 2 ** 50, freeBytes: 2 ** 49, files: 2 ** 40, freeFiles: 3, nameBytesMax: 255 };
    const { frsize, blocks, bfree, files, ffree } = statfsOf(totals);
    expect(blocks).toBeLessThanOrEqual(0xffff_ffff);
    expect([blocks * frsize, bfree * frsize, files, ffree]).toEqual([2 ** 50, 2 ** 49, 0xffff_ffff, 3]);
  });

  it("has handles of 31 bits, none of them 0", () => {
    const numbers = new HandleNumbers();
    const handle = (2 ** 40) as HandleId;
    const number = numbers.add(handle);
    expect(number).toBe(1);
    expect(numbers.get(number)).toBe(handle);
    expect(numbers.add(5 as HandleId)).toBe(2);
    expect(numbers.take(number)).toBe(handle);
    expect(() => numbers.take(number)).toThrow(/not open/);
    expect(numbers.takeAll()).toEqual([5]);
  });

  it("loses the modification time of utimens, which is found where it keeps it, or left alone", () => {
    const thread = Buffer.alloc(200);
    thread.writeBigUInt64LE(1_500_000_000_123n, 104);
    thread.writeBigUInt64LE(1_600_000_000_456n, 112);
    const [low, high] = [1_500_000_000_123 % 2 ** 32, Math.floor(1_500_000_000_123 / 2 ** 32)];
    const found = modificationTime(thread, low, high);
    expect(found && found[0] + found[1] * 2 ** 32).toBe(1_600_000_000_456);
    expect(modificationTime(thread, low + 1, high)).toBeUndefined();
    expect(modificationTime(thread.subarray(0, 110), low, high)).toBeUndefined();
  });

  it("says what is missing where it does not load, on one line", () => {
    const library = new Error("libfuse.so.2: cannot open shared object file: No such file or directory");
    expect(whyUnavailable(library)).toMatch(/libfuse 2.*apt-get install libfuse2/);
    const missing = Object.assign(new Error("Cannot find module 'fuse-native'\nRequire stack:\n- x"), {
      code: "MODULE_NOT_FOUND",
    });
    expect(whyUnavailable(missing)).toMatch(/not installed: npm install/);
    expect(whyUnavailable(new Error("No native build was found for platform=linux\n  loaded from: x"))).toMatch(
      /^[^\n]*does not load \(No native build[^\n]*--transport native$/,
    );
  });
});
