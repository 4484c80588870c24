import { describe, expect, it } from "vitest";
import type { Ino, OpSeq } from "../../../src/base/index.js";
import { hexHashOf } from "../../../src/format/index.js";
import { FRAME_SIZE_BYTES_MAX, FrameBuilder, framesOf } from "../../../src/meta/journal/frame-builder.js";
import {
  decodeFrames,
  FRAME_HEADER_LENGTH_BYTES,
  type JournalRecord,
  RECORD_HEADER_LENGTH_BYTES,
} from "../../../src/meta/journal/journal-frame.js";

const base = { volumeUuid: "u", segment: 3, ownEpochs: [1, 2] };
const operation = (seq: number, length = 10): JournalRecord => ({
  kind: "operation",
  seq: seq as OpSeq,
  bytes: Buffer.alloc(length, seq),
});
const clean = (ino: number): JournalRecord => ({ kind: "clean", ino: ino as Ino });
const frameOf = (...records: JournalRecord[]): Buffer => Buffer.concat([...framesOf(records)]);
const decoded = (bytes: Buffer): JournalRecord[] => Array.from(decodeFrames(bytes));
/** Compared as they are, large ones take seconds. */
const told = (records: JournalRecord[]): string[] =>
  records.map(
    (record) => `${record.kind} ${record.kind === "operation" && `${record.seq} ${hexHashOf(record.bytes)}`}`,
  );

describe("frames of the journal", () => {
  it("have the bytes they always had", () => {
    const first = frameOf(
      { kind: "base", base },
      { kind: "operation", seq: 7 as OpSeq, bytes: Buffer.from("op") },
      { kind: "dirty", ino: 9 as Ino, bytes: Buffer.from("image") },
    );
    expect(first.toString("hex")).toBe(
      "5e0000001b33cc2255c25f28382a40d899b66bb1e4c10483d1e0c14f8ca840c34da8652a" +
        "0500000000000000003000000" +
        "07b22766f6c756d6555756964223a2275222c227365676d656e74223a332c226f776e45706f636873223a5b312c325d7d" +
        "010000000000001c40020000006f70" +
        "02000000000000224005000000696d616765",
    );
    const second = frameOf(clean(9), { kind: "shipped", seqs: [7 as OpSeq, (2 ** 40) as OpSeq] });
    expect(second.toString("hex")).toBe(
      "2a00000028c462bbbc9e7c6b5826ef2ce3002c5001034801372fcbcf29902242f1f97c88" +
        "03000000000000224000000000" +
        "0400000000000000401000000000000000000" +
        "01c400000000000007042",
    );
    expect(decoded(Buffer.concat([first, second]))).toEqual([
      { kind: "base", base },
      { kind: "operation", seq: 7, bytes: Buffer.from("op") },
      { kind: "dirty", ino: 9, bytes: Buffer.from("image") },
      clean(9),
      { kind: "shipped", seqs: [7, 2 ** 40] },
    ]);
  });

  it("end at the first one that is not whole, wherever it was cut", () => {
    const first = frameOf({ kind: "base", base }, operation(1));
    const second = frameOf(operation(2), clean(9), { kind: "shipped", seqs: [1 as OpSeq] });
    const whole = Buffer.concat([first, second]);
    expect(decoded(whole)).toHaveLength(5);
    for (let length = first.length; length < whole.length; length++) {
      expect(decoded(whole.subarray(0, length))).toHaveLength(2);
    }
    const flipped = Buffer.from(whole);
    flipped[first.length + 50] = (flipped[first.length + 50] ?? 0) ^ 1;
    expect(decoded(flipped)).toHaveLength(2);
  });

  it("are sealed when the next record has no room, to the byte", () => {
    const room = FRAME_SIZE_BYTES_MAX - FRAME_HEADER_LENGTH_BYTES - RECORD_HEADER_LENGTH_BYTES;
    const builder = new FrameBuilder();
    expect(builder.add(operation(1, room - RECORD_HEADER_LENGTH_BYTES))).toBeUndefined();
    expect(builder.add(clean(1))).toBeUndefined();
    const full = builder.add(clean(2));
    expect(full).toHaveLength(FRAME_SIZE_BYTES_MAX);
    const expected = [operation(1, room - RECORD_HEADER_LENGTH_BYTES), clean(1)];
    expect(told(decoded(full ?? Buffer.alloc(0)))).toEqual(told(expected));
    expect(decoded(builder.seal() ?? Buffer.alloc(0))).toEqual([clean(2)]);
    expect(builder.seal()).toBeUndefined();
  });

  it("keep the order of many small records and of records larger than a frame", () => {
    const records = Array.from({ length: 3000 }, (_, index) =>
      operation(index + 1, index % 700 === 350 ? 2 * FRAME_SIZE_BYTES_MAX : 10 + (index % 200)),
    );
    records.unshift(operation(9999, FRAME_SIZE_BYTES_MAX));
    const frames = [...framesOf(records)];
    expect(told(decoded(Buffer.concat(frames)))).toEqual(told(records));
    const lengths = frames.map(({ length }) => length).filter((length) => length <= FRAME_SIZE_BYTES_MAX);
    expect(frames.length - lengths.length).toBe(5);
    expect(lengths.length).toBeLessThanOrEqual(12);
  });

  it("hold copies, in memory of their own", () => {
    const builder = new FrameBuilder();
    const bytes = Buffer.from("before");
    const frames: (Buffer | undefined)[] = [];
    // A frame of a few records is copied out, one that fills its memory takes that along.
    for (const length of [10, FRAME_SIZE_BYTES_MAX / 2, 2 * FRAME_SIZE_BYTES_MAX, 10]) {
      frames.push(builder.add(operation(2, length)));
      frames.push(builder.add({ kind: "operation", seq: 1 as OpSeq, bytes }));
      bytes.fill("x");
      frames.push(builder.seal());
      bytes.write("before");
    }
    const records = decoded(Buffer.concat(frames.filter((frame) => frame !== undefined)));
    const kept = records.flatMap((record) => (record.kind === "operation" && record.seq === 1 ? [record.bytes] : []));
    expect(kept).toEqual([bytes, bytes, bytes, bytes]);
  });
});
