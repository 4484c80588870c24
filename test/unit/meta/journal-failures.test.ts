import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OpSeq } from "../../../src/base/index.js";
import { hexHashOf } from "../../../src/format/index.js";
import { Journal } from "../../../src/meta/journal/journal.js";
import { decodeFrames, type JournalRecord } from "../../../src/meta/journal/journal-frame.js";
import { ManualClock } from "../../support/manual-clock.js";

const base = { volumeUuid: "u", segment: 3, ownEpochs: [1] };
const MEBIBYTE = 1 << 20;
/** Of a mebibyte each: what it takes until the file is replaced. */
const RECORDS_UNTIL_ROTATION = 8;

/** Records in few words: compared as they are, large ones take seconds. */
function told(records: readonly JournalRecord[]): string[] {
  return records.map((record) =>
    record.kind === "operation" ? `${record.seq} ${hexHashOf(record.bytes)}` : record.kind,
  );
}

/**
 * Stands between the journal and its files: each write is torn in two, and `step` is told before each half, each sync of a
 * file and each sync of a folder. What it throws is what the disk answers.
 */
async function interpose(folder: string, step: () => void): Promise<void> {
  const handle = await open(folder, "r");
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const write = prototype.write as (...request: [Buffer, number, number, number]) => Promise<{ bytesWritten: number }>;
  async function tornWrite(this: FileHandle, bytes: Buffer, offset: number, length: number, position: number) {
    const half = Math.floor(length / 2);
    step();
    await write.call(this, bytes, offset, half, position);
    step();
    await write.call(this, bytes, offset + half, length - half, position + half);
    return { bytesWritten: length, buffer: bytes };
  }
  vi.spyOn(prototype, "write").mockImplementation(tornWrite as FileHandle["write"]);
  for (const method of ["datasync", "sync"] as const) {
    const original = prototype[method];
    vi.spyOn(prototype, method).mockImplementation(function (this: FileHandle) {
      step();
      return original.call(this);
    });
  }
}

describe("the journal, when its disk fails", () => {
  let folder: string;
  let path: string;
  let errors: unknown[];
  let pending: JournalRecord[];
  let appended: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "podfs-journal-"));
    path = join(folder, "journal");
    errors = [];
    pending = [];
    appended = 0;
  });

  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(folder, { recursive: true, force: true });
  });

  const openJournal = (): Promise<Journal> =>
    Journal.open({
      path,
      clock: new ManualClock(),
      base,
      pending: () => pending,
      onError: (error) => errors.push(error),
    });

  /** Operations with the numbers that follow; they are pending, too. */
  function append(journal: Journal, count: number, length: number): void {
    for (let index = 0; index < count; index++) {
      const seq = ++appended as OpSeq;
      const operation = Buffer.alloc(length, seq);
      pending.push({ kind: "operation", seq, bytes: Buffer.from(operation) });
      journal.append({ seq, operation, localChanges: [] });
      operation.fill(0);
    }
  }

  /** What a restart would find. */
  const found = (): JournalRecord[] => Array.from(decodeFrames(readFileSync(path)));
  const seqsFound = (): number[] => found().flatMap((record) => (record.kind === "operation" ? [record.seq] : []));

  /** Lets the disk be full for one step, the given one from now on. Returns how many there have been. */
  async function failAt(failing: number): Promise<() => number> {
    let steps = 0;
    await interpose(folder, () => {
      steps += 1;
      if (steps === failing) throw Object.assign(new Error(`step ${failing}`), { code: "ENOSPC" });
    });
    return () => steps;
  }

  /** A journal that has just grown enough to be replaced, by one with the last operation, when the step failed. */
  async function replaceFailing(failing: number): Promise<{ readonly journal: Journal; readonly steps: () => number }> {
    pending = [];
    errors = [];
    appended = 0;
    const journal = await openJournal();
    append(journal, RECORDS_UNTIL_ROTATION - 1, MEBIBYTE);
    await journal.sync();
    append(journal, 1, MEBIBYTE);
    pending = pending.slice(-1);
    const steps = await failAt(failing);
    await journal.sync();
    return { journal, steps };
  }

  it("has everything once and in order after the next write, whichever step failed", async () => {
    // Four frames, each torn in two, and a sync.
    for (let failing = 1; failing <= 9; failing++) {
      pending = [];
      appended = 0;
      const journal = await openJournal();
      await failAt(failing);
      append(journal, 12, 20_000);
      const written = journal.sync();
      append(journal, 1, 100);
      await expect(written).rejects.toMatchObject({ kind: "no-space", retryable: true });
      append(journal, 1, 100);
      await journal.sync();
      expect(told(found())).toEqual(["base", ...told(pending)]);
      vi.restoreAllMocks();
      await journal.close();
    }
    expect(errors).toEqual([]);
  });

  it("goes on with the old file, whichever step of writing a new one failed", async () => {
    // After the two halves and the sync of what was appended: those of two frames.
    for (let failing = 4; failing <= 8; failing++) {
      const { journal } = await replaceFailing(failing);
      expect(seqsFound()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(errors).toMatchObject([{ kind: "no-space" }]);
      expect(existsSync(`${path}.new`)).toBe(false);
      append(journal, 1, 100);
      await journal.sync();
      expect(seqsFound()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      vi.restoreAllMocks();
      await journal.close();
    }
  });

  it("goes on with the new file when only the sync of its folder failed, and makes up for that", async () => {
    const { journal, steps } = await replaceFailing(9);
    expect(seqsFound()).toEqual([8]);
    expect(errors).toMatchObject([{ kind: "no-space" }]);
    for (const expected of [4, 3]) {
      const before = steps();
      append(journal, 1, 100);
      await journal.sync();
      expect(steps() - before).toBe(expected);
    }
    expect(seqsFound()).toEqual([8, 9, 10]);
    await journal.close();
  });

  it("has whatever was synced at every moment at which the process may be killed", async () => {
    const journal = await openJournal();
    let synced = 0;
    let moments = 0;
    const lost: string[] = [];
    await interpose(folder, () => {
      moments += 1;
      const seqs = new Set(seqsFound());
      for (let seq = 1; seq <= synced; seq++) if (!seqs.has(seq)) lost.push(`${seq} of ${synced} at ${moments}`);
    });
    for (let round = 0; round < 4; round++) {
      append(journal, 3, MEBIBYTE);
      const promised = appended;
      const written = journal.sync();
      append(journal, 3, 100);
      await written;
      synced = promised;
    }
    await journal.close();
    expect(lost).toEqual([]);
    expect(errors).toEqual([]);
    expect(seqsFound().slice(0, appended)).toEqual(Array.from({ length: appended }, (_, index) => index + 1));
  });
});
