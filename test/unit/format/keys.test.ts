import { describe, expect, it } from "vitest";
import {
  chunkKey,
  chunkPrefix,
  contentKey,
  dentryKey,
  dentryPrefix,
  directoryTimesKey,
  extentKey,
  extentPrefix,
  inodeKey,
  isSharedKey,
  nameOfKey,
  packKey,
  parseKey,
  prefixEnd,
  xattrKey,
  xattrPrefix,
} from "../../../src/format/index.js";
import { chunkHash, ino, name } from "./samples.js";

const LARGEST = Number.MAX_SAFE_INTEGER;

describe("keys", () => {
  it("come apart into what they were made of", () => {
    const any = name("\x01caf\xc3\xa9\xff");
    expect(parseKey(inodeKey(ino(1)))).toEqual({ kind: "inode", ino: 1 });
    expect(parseKey(inodeKey(ino(LARGEST)))).toEqual({ kind: "inode", ino: LARGEST });
    expect(parseKey(directoryTimesKey(ino(258)))).toEqual({ kind: "directory-times", ino: 258 });
    expect(parseKey(contentKey(ino(2 ** 32)))).toEqual({ kind: "content", ino: 2 ** 32 });
    expect(parseKey(dentryKey(ino(9), any))).toEqual({ kind: "dentry", parent: 9, name: any });
    expect(parseKey(xattrKey(ino(9), any))).toEqual({ kind: "xattr", ino: 9, name: any });
    expect(parseKey(extentKey(ino(9), 4_000_000_000))).toEqual({ kind: "extent", ino: 9, group: 4_000_000_000 });
    expect(parseKey(chunkKey(chunkHash("0f")))).toEqual({ kind: "chunk", hash: chunkHash("0f") });
    expect(parseKey(packKey(77))).toEqual({ kind: "pack", number: 77 });
    expect(nameOfKey(dentryKey(ino(9), any))).toBe(any);
  });

  it("sort by number, then by the bytes of the name", () => {
    const sorted = [
      dentryKey(ino(1), name("z")),
      dentryKey(ino(2), name("\x01")),
      dentryKey(ino(2), name("a")),
      dentryKey(ino(2), name("a\x00")),
      dentryKey(ino(2), name("a!")),
      dentryKey(ino(2), name("\xff")),
      dentryKey(ino(256), name("a")),
      dentryKey(ino(2 ** 32), name("a")),
      dentryKey(ino(LARGEST), name("a")),
    ];
    expect([...sorted].reverse().sort(Buffer.compare)).toEqual(sorted);
  });

  it("start with their prefix, and end before its end", () => {
    for (const [prefix, key] of [
      [dentryPrefix(ino(255)), dentryKey(ino(255), name("\xff".repeat(255)))],
      [xattrPrefix(ino(0xffff)), xattrKey(ino(0xffff), name("user.a"))],
      [extentPrefix(ino(3)), extentKey(ino(3), 0xffff_ffff)],
      [chunkPrefix(), chunkKey(chunkHash("f"))],
    ] as const) {
      expect(key.subarray(0, prefix.length)).toEqual(prefix);
      expect(Buffer.compare(key, prefixEnd(prefix))).toBe(-1);
    }
    expect(prefixEnd(dentryPrefix(ino(255)))).toEqual(dentryPrefix(ino(256)).subarray(0, 8));
  });

  it("of a cache directory are told from shared ones", () => {
    expect(isSharedKey(inodeKey(ino(1)))).toBe(true);
    expect(isSharedKey(Buffer.from("f12345678"))).toBe(false);
    expect(isSharedKey(Buffer.alloc(0))).toBe(false);
    expect(() => parseKey(Buffer.from("f12345678"))).toThrow(expect.objectContaining({ kind: "malformed" }));
  });

  it("that are cut short, too long or beyond 2^53 are refused", () => {
    const cases: [Buffer, string][] = [
      [inodeKey(ino(1)).subarray(0, 8), "truncated"],
      [dentryPrefix(ino(1)), "truncated"],
      [Buffer.concat([packKey(1), Buffer.alloc(1)]), "malformed"],
      [Buffer.concat([Buffer.from("I"), Buffer.alloc(8, 0xff)]), "malformed"],
      [Buffer.alloc(0), "malformed"],
    ];
    for (const [key, kind] of cases) expect(() => parseKey(key)).toThrow(expect.objectContaining({ kind }));
    expect(() => chunkKey("xyz" as never)).toThrow("not a hash");
    expect(() => chunkKey("zz".repeat(32) as never)).toThrow("not a hash");
  });
});
