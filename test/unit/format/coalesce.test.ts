import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../src/format/index.js";
import {
  applyTouch,
  coalesce,
  combineTouches,
  decodeDirectoryTimes,
  dentryKey,
  directoryTimesKey,
  encodeDirectoryTimes,
  inodeKey,
  type TouchEntry,
} from "../../../src/format/index.js";
import { ino, name, seq, TIMES } from "./samples.js";

const KEY = directoryTimesKey(ino(5));

function touch(at: number, nlinkDelta: number): TouchEntry {
  const time = { sec: at * 10, nsec: at };
  return { op: "touch", ino: ino(5), mtime: time, ctime: { sec: at * 10 + 1, nsec: at }, nlinkDelta, seq: seq(at) };
}

const put = (key: Buffer, text: string): LogEntry => ({ op: "put", key, value: Buffer.from(text) });

describe("applyTouch", () => {
  it("takes the times of a later operation, and the link delta of any", () => {
    expect(applyTouch(TIMES, touch(700, 1))).toEqual({
      mtime: { sec: 7000, nsec: 700 },
      ctime: { sec: 7001, nsec: 700 },
      nlink: 6,
      seq: 700,
    });
    expect(applyTouch(TIMES, touch(599, -2))).toEqual({ ...TIMES, nlink: 3 });
    expect(applyTouch(TIMES, touch(599, 0))).toEqual(TIMES);
  });

  it("gives the same result in every order, one by one or combined", () => {
    const touches = [touch(601, 1), touch(450, 2), touch(777, -1), touch(602, 0)];
    const expected = touches.reduce(applyTouch, TIMES);
    for (const order of permutations(touches)) {
      expect(order.reduce(applyTouch, TIMES)).toEqual(expected);
      expect(applyTouch(TIMES, order.reduce(combineTouches))).toEqual(expected);
    }
  });

  it("refuses to take more links than there are", () => {
    expect(() => applyTouch(TIMES, touch(700, -6))).toThrow(expect.objectContaining({ kind: "malformed" }));
  });
});

describe("coalesce", () => {
  it("keeps the last put or delete of each key, sorted by key", () => {
    const a = dentryKey(ino(1), name("a"));
    const b = dentryKey(ino(1), name("\xff"));
    const i = inodeKey(ino(2));
    const entries = [
      put(i, "1"),
      put(b, "1"),
      put(a, "1"),
      put(a, "2"),
      { op: "delete", key: b } as const,
      put(i, "2"),
    ];
    expect(coalesce(entries)).toEqual([put(a, "2"), { op: "delete", key: b }, put(i, "2")]);
  });

  it("applies a touch to the record put before it", () => {
    const [entry] = coalesce([{ op: "put", key: KEY, value: encodeDirectoryTimes(TIMES) }, touch(700, 1)]);
    expect(entry?.op === "put" && decodeDirectoryTimes(entry.value)).toEqual(applyTouch(TIMES, touch(700, 1)));
  });

  it("adds touches up, and forgets them when a put or delete follows", () => {
    expect(coalesce([touch(10, 1), touch(9, 1)])).toEqual([touch(10, 2)]);
    expect(coalesce([touch(10, 1), { op: "delete", key: KEY }])).toEqual([{ op: "delete", key: KEY }]);
    expect(coalesce([touch(10, 1), put(KEY, "x")])).toEqual([put(KEY, "x")]);
    expect(coalesce([{ op: "delete", key: KEY }, touch(10, 1)])).toEqual([{ op: "delete", key: KEY }]);
  });
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}
