import { describe, expect, it } from "vitest";
import type { Attributes } from "../../../src/fs/index.js";
import { requirePermission } from "../../../src/staging/permissions.js";

const of = (uid: number, gid: number, mode: number) => ({ uid, gid, mode }) as Attributes;
const allowed = (uid: number, directory: Attributes, replaced?: Attributes): boolean => {
  try {
    requirePermission({ uid, gid: 100, pid: 1 }, [100, 200], directory, replaced);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ kind: "not-permitted" });
    return false;
  }
};

describe("who may save in a directory", () => {
  it("is root, the owner, the group and others, as the mode says", () => {
    expect(allowed(0, of(5, 5, 0o40000))).toBe(true);
    expect(allowed(1000, of(1000, 5, 0o40300))).toBe(true);
    expect(allowed(1000, of(1000, 5, 0o40577))).toBe(false);
    expect(allowed(1000, of(5, 200, 0o40730))).toBe(true);
    expect(allowed(1000, of(5, 200, 0o40707))).toBe(false);
    expect(allowed(1000, of(5, 5, 0o40773))).toBe(true);
    expect(allowed(1000, of(5, 5, 0o40772))).toBe(false);
  });

  it("and in a sticky one nobody replaces others' files", () => {
    expect(allowed(1000, of(5, 5, 0o41777), of(6, 6, 0o100666))).toBe(false);
    expect(allowed(1000, of(5, 5, 0o41777), of(1000, 6, 0o100666))).toBe(true);
    expect(allowed(1000, of(1000, 5, 0o41777), of(6, 6, 0o100666))).toBe(true);
    expect(allowed(1000, of(5, 5, 0o41777))).toBe(true);
  });
});
