import { beforeAll, describe, expect, it } from "vitest";
import type { BlockReader, CheckpointHeader, KeyValue, LogEntry } from "../../../src/format/index.js";
import {
  coalesce,
  decodeDirectoryTimes,
  dentryKey,
  directoryTimesKey,
  encodeCheckpoint,
  encodeDentry,
  encodeDirectoryTimes,
  FormatError,
  inodeKey,
  loadCompressor,
  mergeCheckpoint,
  readCheckpoint,
  readCheckpointAsync,
} from "../../../src/format/index.js";
import { damage, epoch, ino, name, segmentSeq, seq, TIMES } from "./samples.js";

const HEADER: CheckpointHeader = { epoch: epoch(4), segmentSeq: segmentSeq(99), opSeq: seq(12_345) };

beforeAll(loadCompressor);

function* dentries(count: number): Generator<KeyValue> {
  for (let index = 0; index < count; index++) {
    const key = dentryKey(ino(1 + Math.floor(index / 1000)), name(`file-${String(index).padStart(8, "0")}.txt`));
    yield [key, encodeDentry({ ino: ino(index + 2), type: 0o100000 })];
  }
}

const encode = (records: Iterable<KeyValue>): Buffer => Buffer.concat([...encodeCheckpoint(HEADER, records)]);

function* cut(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** Copies of the records, which are lent one by one. */
function plain(records: Iterable<KeyValue>): [string, string][] {
  const copies: [string, string][] = [];
  for (const [key, value] of records)
    copies.push([Buffer.from(key).toString("latin1"), Buffer.from(value).toString("latin1")]);
  return copies;
}

function* recordsOf(block: BlockReader): Generator<KeyValue> {
  while (block.next()) yield [block.key, block.value];
}

describe("checkpoint", () => {
  it.each([0, 1, 2, 30_000])("of %i records gives them back", (count) => {
    const bytes = encode(dentries(count));
    const reader = readCheckpoint([bytes]);
    expect(reader.header).toEqual(HEADER);
    expect(plain(reader.records)).toEqual(plain(dentries(count)));
  });

  it("comes in pieces of any size", async () => {
    const bytes = encode(dentries(20_000));
    const expected = plain(dentries(20_000));
    for (const length of [1000, 65_536, bytes.length - 1]) {
      expect(plain(readCheckpoint(cut(bytes, length)).records)).toEqual(expected);
      const reader = await readCheckpointAsync(asynchronous(cut(bytes, length)));
      const records: [string, string][] = [];
      for await (const block of reader.records) records.push(...plain(recordsOf(block)));
      expect(records).toEqual(expected);
    }
    const small = encode(dentries(3));
    expect(plain(readCheckpoint(cut(small, 1)).records)).toEqual(plain(dentries(3)));
  });

  it("keeps records that are larger than a block, and empty values", () => {
    const records: KeyValue[] = [
      [Buffer.from("Xa"), Buffer.alloc(0)],
      [Buffer.from("Xb"), Buffer.alloc(1 << 20, "x")],
      [Buffer.from("Xb\x00"), Buffer.alloc(70, "y")],
    ];
    expect(plain(readCheckpoint([encode(records)]).records)).toEqual(plain(records));
  });

  it("is much smaller than its records", () => {
    expect(encode(dentries(30_000)).length).toBeLessThan(30_000 * 6);
  });

  it("is refused after any cut and any flipped bit", () => {
    const bytes = encode(dentries(5));
    damage(bytes, (damaged, how) => {
      expect(() => [...readCheckpoint([damaged]).records], how).toThrow(FormatError);
    });
  });

  it("is refused when a block is missing, moved or more follows", () => {
    const pieces = [...encodeCheckpoint(HEADER, dentries(30_000))];
    expect(pieces.length).toBeGreaterThanOrEqual(4);
    const [header, first, second, ...rest] = pieces as [Buffer, Buffer, Buffer];
    const read = (...parts: Buffer[]) => [...readCheckpoint(parts).records];
    expect(() => read(header, first, ...rest)).toThrow(expect.objectContaining({ kind: "bad-checksum" }));
    expect(() => read(header, second, first, ...rest)).toThrow(expect.objectContaining({ kind: "malformed" }));
    expect(() => read(...pieces, Buffer.of(0))).toThrow(expect.objectContaining({ kind: "malformed" }));
    expect(() => read(...pieces.slice(0, -1))).toThrow(expect.objectContaining({ kind: "truncated" }));
  });

  it("keeps values of every length around what is copied, and the longest keys", () => {
    const key = (index: number, length: number) =>
      Buffer.from(`X${String(index).padStart(4, "0")}`.padEnd(length, "k"));
    const lengths = [0, 1, 2, 1023, 1024, 1025, 3, 1024];
    const records = lengths.map((length, index): KeyValue => [key(index, 6 + length / 2), Buffer.alloc(length, index)]);
    records.push([key(9, 1024), Buffer.from("the longest key")]);
    expect(plain(readCheckpoint([encode(records)]).records)).toEqual(plain(records));
    expect(() => encode([[key(9, 1025), Buffer.alloc(0)]])).toThrow("no checkpoint has room");
  });

  it("gives no block before all records of the one before were taken", async () => {
    const { records } = await readCheckpointAsync(asynchronous([encode(dentries(30_000))]));
    const { value: block } = await records.next();
    expect(block?.next()).toBe(true);
    await expect(records.next()).rejects.toThrow("is left before all its records were taken");
  });

  it("is refused when records are not sorted", () => {
    const [a, b] = [...dentries(2)] as [KeyValue, KeyValue];
    for (const records of [
      [b, a],
      [a, a],
    ]) {
      expect(() => [...readCheckpoint([encode(records)]).records]).toThrow(
        expect.objectContaining({ kind: "malformed" }),
      );
    }
  });
});

describe("mergeCheckpoint", () => {
  const key = (number: number) => inodeKey(ino(number));
  const put = (number: number, text: string): LogEntry => ({ op: "put", key: key(number), value: Buffer.from(text) });
  const drop = (number: number): LogEntry => ({ op: "delete", key: key(number) });
  const record = (number: number, text: string): KeyValue => [key(number), Buffer.from(text)];
  const merge = (base: KeyValue[], delta: LogEntry[]) => plain(mergeCheckpoint(base, coalesce(delta)));

  it("replaces, adds and removes", () => {
    const base = [record(2, "two"), record(4, "four"), record(6, "six")];
    expect(merge(base, [put(1, "1"), put(4, "4"), put(5, "5"), drop(6), drop(7), put(8, "8"), put(9, "9")])).toEqual(
      plain([record(1, "1"), record(2, "two"), record(4, "4"), record(5, "5"), record(8, "8"), record(9, "9")]),
    );
    expect(merge(base, [])).toEqual(plain(base));
    expect(merge([], [put(3, "3"), drop(4)])).toEqual(plain([record(3, "3")]));
    expect(merge(base, [drop(2), drop(4), drop(6)])).toEqual([]);
  });

  it("applies touches to directories that are there, and only to them", () => {
    const touch = (number: number): LogEntry => {
      return { op: "touch", ino: ino(number), mtime: TIMES.mtime, ctime: TIMES.ctime, nlinkDelta: 1, seq: seq(999) };
    };
    const base: KeyValue[] = [[directoryTimesKey(ino(2)), encodeDirectoryTimes(TIMES)]];
    const merged = [...mergeCheckpoint(base, coalesce([touch(1), touch(2), touch(3)]))];
    expect(merged.map(([, value]) => decodeDirectoryTimes(value))).toEqual([{ ...TIMES, nlink: 6, seq: 999 }]);
  });

  it("does what applying the entries one by one does, for random changes", () => {
    let state = 20_260_101;
    const random = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 200; round++) {
      const base = new Map<number, string>();
      for (let index = random(20); index > 0; index--) base.set(random(30), `base ${index}`);
      const delta = Array.from({ length: random(25) }, (_, index) =>
        random(3) === 0 ? drop(random(30)) : put(random(30), `${round}/${index}`),
      );
      const expected = new Map([...base].map(([number, text]) => plain([record(number, text)])[0]!));
      for (const entry of delta) {
        if (entry.op === "touch") continue;
        const text = Buffer.from(entry.key).toString("latin1");
        if (entry.op === "put") expected.set(text, Buffer.from(entry.value).toString("latin1"));
        else expected.delete(text);
      }
      const sorted = [...base].sort(([a], [b]) => a - b).map(([number, text]) => record(number, text));
      expect(merge(sorted, delta), `round ${round}`).toEqual([...expected].sort(([a], [b]) => (a < b ? -1 : 1)));
    }
  });
});

async function* asynchronous<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
