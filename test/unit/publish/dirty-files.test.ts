import { describe, expect, it } from "vitest";
import { Deferred, type Ino } from "../../../src/base/index.js";
import { DirtyFiles } from "../../../src/publish/dirty-files.js";
import { ManualClock } from "../../support/manual-clock.js";

const a = 2 as Ino;
const b = 3 as Ino;
const MIB = 1 << 20;

/** DirtyFiles, the sizes of files that are open, and how often those were asked for. */
class Subject {
  readonly clock = new ManualClock();
  readonly sizes = new Map<Ino, number>();
  asked = 0;
  readonly files = new DirtyFiles(this.clock, (ino) => {
    this.asked++;
    return this.sizes.get(ino) ?? 0;
  });

  close(ino: number, bytes = 1, dirtySinceMs = this.clock.nowMs()): void {
    this.files.closed(ino as Ino, { sizeBytes: bytes, dirtySinceMs });
  }

  urge(ino: Ino): Promise<void> {
    const waiter = new Deferred();
    this.files.urge(ino, waiter);
    return waiter.promise;
  }

  finish(ino: Ino, isDirty: boolean): void {
    const record = isDirty ? { sizeBytes: 1, dirtySinceMs: this.clock.nowMs() } : undefined;
    for (const waiter of this.files.finished(ino, record)) waiter.resolve();
  }

  /** Takes all there is, group by group. */
  takeAll(which: "urgent" | "due", size: "small" | "large"): Ino[][] {
    const groups: Ino[][] = [];
    for (;;) {
      const group = this.files.take(which, size);
      if (group.length === 0) return groups;
      groups.push([...group]);
    }
  }
}

describe("DirtyFiles", () => {
  it("lets a burst of closes settle, then takes them together in closing order", async () => {
    const subject = new Subject();
    const { clock, files } = subject;
    files.opened(a);
    subject.close(b);
    await clock.advance(200);
    subject.close(a);
    expect(files.take("due", "small")).toEqual([]);
    await clock.advance(300);
    expect(files.take("due", "small")).toEqual([b, a]);
  });

  it("waits no longer than five seconds when files keep being closed, nor when a pack is full", async () => {
    const subject = new Subject();
    const { clock, files } = subject;
    subject.close(a);
    for (let i = 0; i < 49; i++) {
      await clock.advance(100);
      subject.close(b);
    }
    expect(files.take("due", "small")).toEqual([]);
    await clock.advance(100);
    subject.close(b);
    expect(files.take("due", "small")).toEqual([a, b]);
    subject.close(3);
    subject.close(4, 15 * MIB);
    expect(files.take("due", "small")).toEqual([]);
    expect(files.take("due", "large")).toEqual([4]);
  });

  it("counts a closed file as large as it was when it was closed last", () => {
    const subject = new Subject();
    subject.close(a, 16 * MIB);
    subject.close(a, 1);
    expect(subject.files.take("due", "small")).toEqual([]);
    subject.close(a, 16 * MIB);
    expect(subject.files.take("due", "large")).toEqual([a]);
  });

  it("fills packs with small files and takes large ones one by one", async () => {
    const subject = new Subject();
    for (let ino = 1; ino <= 2000; ino++) subject.close(ino, 3000);
    for (let ino = 2001; ino <= 2006; ino++) subject.close(ino, 4 * MIB);
    subject.close(2007, 5 * MIB);
    subject.close(2008, 2 * MIB);
    subject.close(2009, 6 * MIB);
    await subject.clock.advance(300);
    const groups = subject.takeAll("due", "small");
    expect(groups.map((group) => group.length)).toEqual([1024, 979, 4]);
    // What does not fit any more is left for the next pack, and something smaller takes its place.
    expect(groups[1]?.slice(-3)).toEqual([2001, 2002, 2003]);
    expect(groups[2]).toEqual([2004, 2005, 2006, 2008]);
    expect(subject.takeAll("due", "large")).toEqual([[2007], [2009]]);
  });

  it("takes a file that stays open every 30 seconds", async () => {
    const subject = new Subject();
    const { clock, files } = subject;
    files.opened(a);
    await clock.advance(29_000);
    expect(files.take("due", "small")).toEqual([]);
    await clock.advance(1_000);
    expect(files.take("due", "small")).toEqual([a]);
    subject.finish(a, true);
    await clock.advance(29_000);
    expect(files.take("due", "small")).toEqual([]);
    await clock.advance(1_000);
    expect(files.take("due", "small")).toEqual([a]);
  });

  it("takes an open file for what it has grown to", async () => {
    const subject = new Subject();
    const { clock, files, sizes } = subject;
    files.opened(a);
    void subject.urge(a);
    sizes.set(a, 5 * MIB);
    expect(files.take("urgent", "small")).toEqual([]);
    expect(files.take("urgent", "large")).toEqual([a]);
    subject.finish(a, true);
    await clock.advance(30_000);
    expect(files.take("due", "small")).toEqual([]);
    sizes.set(a, 1);
    expect(files.take("due", "large")).toEqual([]);
    expect(files.take("due", "small")).toEqual([a]);
  });

  it("answers who asks during an upload only after the next one", async () => {
    const subject = new Subject();
    const { files } = subject;
    files.opened(a);
    const first = subject.urge(a);
    expect(files.take("urgent", "small")).toEqual([a]);
    let second = false;
    void subject.urge(a).then(() => {
      second = true;
    });
    expect(files.urgent).toBe(false);
    expect(files.take("urgent", "small")).toEqual([]);
    subject.finish(a, true);
    await first;
    expect(second).toBe(false);
    expect(files.take("urgent", "small")).toEqual([a]);
    subject.finish(a, false);
    await new Promise(setImmediate);
    expect(second).toBe(true);
    expect(files.size).toBe(0);
  });

  it("takes those first for whom somebody has waited longest, also when they are closed meanwhile", () => {
    const subject = new Subject();
    const { files } = subject;
    subject.close(b);
    files.opened(a);
    void subject.urge(a);
    void subject.urge(b);
    subject.close(a);
    void subject.urge(a);
    expect(files.take("urgent", "small")).toEqual([a, b]);
    expect(files.urgent).toBe(false);
  });

  it("retries a failed file later and later, and keeps who waits unless waiting does not help", async () => {
    const subject = new Subject();
    const { clock, files } = subject;
    subject.close(a);
    const waits = subject.urge(a);
    files.take("urgent", "small");
    files.failed(a, new Error("no route"), false);
    expect(files.take("due", "small")).toEqual([]);
    await clock.advance(1_000);
    expect(files.take("due", "small")).toEqual([a]);
    files.failed(a, new Error("forbidden"), true);
    await expect(waits).rejects.toThrow("forbidden");
    await clock.advance(1_999);
    expect(files.take("due", "small")).toEqual([]);
    await clock.advance(1);
    expect(files.take("due", "small")).toEqual([a]);
  });

  it("tries failed files one by one, each when its time has come, whatever happens to them meanwhile", async () => {
    const subject = new Subject();
    const { clock, files } = subject;
    for (const ino of [1, 2, 3, 4]) subject.close(ino);
    await clock.advance(300);
    expect(files.take("due", "small")).toEqual([1, 2, 3, 4]);
    for (const ino of [1, 2, 3]) files.failed(ino as Ino, new Error("changed"), false);
    subject.finish(4 as Ino, true);
    files.opened(1 as Ino);
    subject.close(1);
    files.opened(2 as Ino);
    await clock.advance(1_000);
    expect(subject.takeAll("due", "small")).toEqual([[3], [1], [2], [4]]);
  });

  it("counts what is dirty, and knows since when", async () => {
    const subject = new Subject();
    const { clock, files, sizes } = subject;
    const start = clock.nowMs();
    // Left by an earlier mount.
    subject.close(10, 100, start - 7_000);
    subject.close(11, 200, start - 5_000);
    files.opened(a);
    sizes.set(a, 1_000);
    expect(files.totals()).toEqual({ files: 3, bytes: 1_300, oldestMs: start - 7_000 });
    await clock.advance(300);
    expect(files.take("due", "small")).toEqual([10, 11]);
    expect(files.totals()).toEqual({ files: 3, bytes: 1_300, oldestMs: start - 7_000 });
    files.opened(10 as Ino);
    subject.finish(10 as Ino, true);
    files.failed(11 as Ino, new Error("changed"), false);
    expect(files.totals()).toEqual({ files: 3, bytes: 1_200, oldestMs: start - 5_000 });
    files.removed(11 as Ino);
    expect(files.totals()).toEqual({ files: 2, bytes: 1_000, oldestMs: start });
    // Nothing was written.
    files.closed(a, undefined);
    expect(files.totals()).toEqual({ files: 1, bytes: 0, oldestMs: start + 300 });
    subject.close(10, 50, start + 300);
    expect(files.totals()).toEqual({ files: 1, bytes: 50, oldestMs: start + 300 });
    expect(files.size).toBe(3);
  });

  it("rejects all who wait, those of an upload under way too", async () => {
    const subject = new Subject();
    subject.close(a);
    const served = subject.urge(a);
    subject.files.take("urgent", "small");
    const waiting = subject.urge(a);
    subject.files.rejectAll(new Error("stopped"));
    await expect(served).rejects.toThrow("stopped");
    await expect(waiting).rejects.toThrow("stopped");
  });

  it("asks the few files it takes for their sizes, not all that are there", async () => {
    const subject = new Subject();
    const { clock, files } = subject;
    const count = 20_000;
    for (let ino = 1; ino <= count; ino++) files.opened(ino as Ino);
    await clock.advance(30_000);
    // Each when it is found to be overdue, and when it is taken.
    expect(files.take("due", "small").length).toBe(1024);
    expect(subject.asked).toBe(2 * 1024);
    expect(subject.takeAll("due", "small").flat().length).toBe(count - 1024);
    expect(subject.asked).toBe(2 * count);
    for (let ino = 1; ino <= count; ino++) subject.finish(ino as Ino, true);
    for (let ino = 1; ino <= count; ino++) subject.close(ino);
    for (let ino = 1; ino <= count; ino++) void subject.urge(ino as Ino);
    expect(subject.takeAll("urgent", "small").flat().length).toBe(count);
    expect(subject.asked).toBe(2 * count);
  });
});
