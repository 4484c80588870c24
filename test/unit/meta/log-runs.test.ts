import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ino, OpSeq } from "../../../src/base/index.js";
import {
  coalesce,
  directoryTimesKey,
  encodeDirectoryTimes,
  inodeKey,
  type KeyValue,
  type LogEntry,
  mergeCheckpoint,
} from "../../../src/format/index.js";
import { LogRuns } from "../../../src/meta/checkpoint/log-runs.js";
import { mergeStream } from "../../../src/meta/checkpoint/merge-stream.js";
import { SeededRandom } from "../../support/random.js";

const INODES = 500;
let folder: string;
let runs: LogRuns | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "podfs-runs-"));
});

afterEach(() => {
  runs?.close();
  rmSync(folder, { recursive: true });
});

describe("a log in sorted runs", () => {
  // So few that every segment is a run, some runs, and all in memory.
  it.each([1, 700, 1_000_000])("adds up to what coalescing all of it gives, %d entries a run", (runEntriesMax) => {
    const seed = Date.now() % 1_000_000;
    const random = new SeededRandom(seed);
    const segments = Array.from({ length: 12 }, (_, segment) => randomSegment(random, segment));
    const log = new LogRuns(join(folder, "log.tmp"), runEntriesMax);
    runs = log;
    for (const segment of segments) log.add(segment);

    const expected = coalesce(segments.flat());
    expect(plain([...log.merged()]), `seed ${seed}`).toEqual(plain(expected));

    const base = baseRecords(random);
    const merged = [...mergeStream(base, log.merged())];
    expect(hexOf(merged), `seed ${seed}`).toEqual(hexOf([...mergeCheckpoint(base, expected)]));
  });

  it("is nothing when nothing was added", () => {
    runs = new LogRuns(join(folder, "log.tmp"));
    expect([...runs.merged()]).toEqual([]);
    const base = baseRecords(new SeededRandom(1));
    expect([...mergeStream(base, runs.merged())]).toEqual(base);
  });
});

/** Puts, deletes and touches of few keys, so that most of them meet others of the same key; as segments are, coalesced. */
function randomSegment(random: SeededRandom, segment: number): LogEntry[] {
  const entries = Array.from({ length: 2_000 }, (_, index): LogEntry => {
    const ino = (1 + random.below(INODES)) as Ino;
    const seq = (1 + segment * 2_000 + index) as OpSeq;
    const time = { sec: seq, nsec: random.below(1_000_000_000) };
    const times = { mtime: time, ctime: time, nlink: 2, seq };
    switch (random.below(4)) {
      case 0:
        return { op: "put", key: directoryTimesKey(ino), value: encodeDirectoryTimes(times) };
      case 1:
        return { op: "delete", key: directoryTimesKey(ino) };
      case 2:
        return { op: "put", key: inodeKey(ino), value: Buffer.from(`inode of ${seq}`) };
      default:
        return { op: "touch", ino, mtime: time, ctime: time, nlinkDelta: random.below(2), seq };
    }
  });
  return coalesce(entries);
}

function baseRecords(random: SeededRandom): KeyValue[] {
  const time = { sec: 0, nsec: 0 };
  const times = encodeDirectoryTimes({ mtime: time, ctime: time, nlink: 2, seq: 0 as OpSeq });
  const inos = Array.from({ length: INODES + 100 }, (_, index) => (index + 1) as Ino).filter(
    () => random.below(2) === 0,
  );
  return [
    ...inos.map((ino): KeyValue => [inodeKey(ino), Buffer.from("inode before")]),
    ...inos.map((ino): KeyValue => [directoryTimesKey(ino), times]),
  ];
}

/** Buffers of different origin compare as their bytes. */
function plain(entries: readonly LogEntry[]): unknown[] {
  return entries.map((entry) =>
    entry.op === "touch" ? entry : [entry.op, hex(entry.key), entry.op === "put" ? hex(entry.value) : ""],
  );
}

function hexOf(records: readonly KeyValue[]): string[] {
  return records.map(([key, value]) => `${hex(key)} ${hex(value)}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
