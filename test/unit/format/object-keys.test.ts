import { describe, expect, it } from "vitest";
import {
  checkpointObjectKey,
  logPrefix,
  packObjectKey,
  parseCheckpointObjectKey,
  parsePackObjectKey,
  parseSegmentObjectKey,
  segmentObjectKey,
} from "../../../src/format/index.js";
import { epoch, packId, segmentSeq } from "./samples.js";

describe("object keys", () => {
  it("are found again in a listing", () => {
    const first = segmentObjectKey(epoch(2), segmentSeq(17));
    expect(first).toBe("meta/log/0000000000000002/0000000000000017");
    expect(parseSegmentObjectKey(first)).toEqual({ epoch: 2, seq: 17, part: 0 });
    const third = segmentObjectKey(epoch(2), segmentSeq(17), 2);
    expect(third).toBe(`${first}.2`);
    expect(third.startsWith(logPrefix(epoch(2)))).toBe(true);
    expect(parseSegmentObjectKey(third)).toEqual({ epoch: 2, seq: 17, part: 2 });
    expect(parseCheckpointObjectKey(checkpointObjectKey(segmentSeq(2 ** 53 - 1)))).toBe(2 ** 53 - 1);
    expect(packObjectKey(packId("ab"))).toBe(`pack/ab/${packId("ab")}`);
    expect(parsePackObjectKey(packObjectKey(packId("ab")))).toBe(packId("ab"));
  });

  it("of other things are told apart", () => {
    for (const key of ["podfs.json", "meta/log/1/2", "meta/log/0000000000000002/0000000000000017.0", "meta/lease"]) {
      expect(parseSegmentObjectKey(key)).toBeUndefined();
    }
    expect(parsePackObjectKey(`pack/cd/${packId("ab")}`)).toBeUndefined();
    expect(parseCheckpointObjectKey("meta/snapshot/12")).toBeUndefined();
  });

  it("sort as their numbers do", () => {
    const keys = [9, 10, 100, 2 ** 40].map((number) => segmentObjectKey(epoch(1), segmentSeq(number)));
    expect([...keys].reverse().sort()).toEqual(keys);
  });
});
