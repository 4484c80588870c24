import { describe, expect, test } from "vitest";
import { cacheLimits } from "../../../src/config/index.js";

const GIB = 1024 ** 3;
const cacheDir = "/cache";

describe("cache limits", () => {
  test("leave a tenth of a small disk free, and 10 GiB of a large one", () => {
    const small = { totalBytes: 50 * GIB, availableBytes: 40 * GIB, isNew: true };
    expect(cacheLimits({ cacheDir }, small)).toEqual({ limitBytes: 45 * GIB, freeSpaceBytes: 5 * GIB });
    const large = { totalBytes: 7000 * GIB, availableBytes: 7000 * GIB, isNew: true };
    expect(cacheLimits({ cacheDir }, large)).toEqual({ limitBytes: 6990 * GIB, freeSpaceBytes: 10 * GIB });
  });

  test("let a cache that has filled the disk be mounted again, and keep what it has", () => {
    const full = { totalBytes: 50 * GIB, availableBytes: 5 * GIB, isNew: false };
    expect(cacheLimits({ cacheDir }, full).limitBytes).toBe(45 * GIB);
  });

  test("are what was asked for", () => {
    const space = { totalBytes: 50 * GIB, availableBytes: 40 * GIB, isNew: true };
    const options = { cacheDir, cacheSizeBytes: 3 * GIB, freeSpaceBytes: 0 };
    expect(cacheLimits(options, space)).toEqual({ limitBytes: 3 * GIB, freeSpaceBytes: 0 });
  });

  test("refuse a disk without room", () => {
    const space = { totalBytes: 50 * GIB, availableBytes: 5 * GIB, isNew: true };
    expect(() => cacheLimits({ cacheDir }, space)).toThrow(/cache directory \/cache has 5 GiB free.*5 GiB stay free/);
  });
});
