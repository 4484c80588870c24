import { describe, expect, test } from "vitest";
import { processEnvironment, resolveMountOptions, stagingMemoryBytes } from "../../../src/config/index.js";

const GIB = 1024 ** 3;

describe("staging memory", () => {
  test("is a quarter of a small machine, and 8 GiB of a large one", () => {
    expect(stagingMemoryBytes({}, 16 * GIB)).toBe(4 * GIB);
    expect(stagingMemoryBytes({}, 2000 * GIB)).toBe(8 * GIB);
  });

  test("is what was asked for; nothing, too", () => {
    const asked = (stagingMemory: string) =>
      resolveMountOptions("/volume", "/workspace", { stagingMemory }, processEnvironment());
    expect(stagingMemoryBytes(asked("20G"), 16 * GIB)).toBe(20 * GIB);
    expect(stagingMemoryBytes(asked("0"), 16 * GIB)).toBe(0);
    expect(() => asked("much")).toThrow(/--staging-memory: "much" is not a size/);
  });
});
