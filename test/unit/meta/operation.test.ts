import { describe, expect, it } from "vitest";
import { type ChunkHash, type Ino, type Name, type OpSeq, ROOT_INO } from "../../../src/base/index.js";
import { chunkKey, dentryKey, extentKey, inodeKey, type LogEntry, packKey } from "../../../src/format/index.js";
import {
  decodeOperation,
  encodeOperation,
  type Operation,
  pendingOperationOf,
  withDependencies,
} from "../../../src/meta/operation.js";

const seq = 12 as OpSeq;
const ino = 5 as Ino;
const name = "n\u00e9" as Name;
const value = Buffer.from("value");
const time = { sec: 3, nsec: 4 };
const hash = "a".repeat(64) as ChunkHash;

const operation: Operation = {
  seq,
  entries: [
    { op: "put", key: inodeKey(ino), value },
    { op: "touch", ino: ROOT_INO, mtime: time, ctime: time, nlinkDelta: -1, seq },
    { op: "delete", key: dentryKey(ROOT_INO, name) },
  ],
  dependencies: { directories: [ROOT_INO], removedDirectories: [ino], inodes: [ino], content: ino },
  totals: { inodes: 7, contentBytes: 2 ** 40 },
};

describe("an operation", () => {
  it("is the same after it was stored", () => {
    expect(decodeOperation(seq, encodeOperation(operation))).toEqual(operation);
    const plain = { ...operation, entries: [], dependencies: {} };
    expect(decodeOperation(seq, encodeOperation(plain))).toEqual(plain);
  });

  it("is ordered by the keys it writes, but for those that conflict with nothing", () => {
    const harmless: LogEntry[] = [chunkKey(hash), packKey(1), extentKey(ino, 0)].map((key) => ({
      op: "put",
      key,
      value,
    }));
    const pending = pendingOperationOf({ ...operation, entries: [...harmless, ...operation.entries] }, 99);
    expect(pending).toEqual({
      seq,
      keys: [inodeKey(ino).toString("latin1"), dentryKey(ROOT_INO, name).toString("latin1")],
      dependencies: operation.dependencies,
      sizeBytes: 99,
    });
  });

  it("needs everything it said it needs, when it says so twice", () => {
    const both = withDependencies({ directories: [ROOT_INO], content: ino }, { directories: [ino], inodes: [ino] });
    expect(both).toEqual({ directories: [ROOT_INO, ino], removedDirectories: [], inodes: [ino], content: ino });
  });
});
