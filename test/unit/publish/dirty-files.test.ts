import { describe, expect, it } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { DirtyFiles } from "../../../src/publish/dirty-files.js";
import { ManualClock } from "../../support/manual-clock.js";

const a = 2 as Ino;
const b = 3 as Ino;
const all = (): boolean => true;

function setUp() {
  const clock = new ManualClock();
  return { clock, files: new DirtyFiles(clock) };
}

describe("DirtyFiles", () => {
  it("lets a burst of closes settle, then takes them together in closing order", async () => {
    const { clock, files } = setUp();
    files.opened(a);
    files.closed(b, 1);
    await clock.advance(200);
    files.closed(a, 1);
    expect(files.take("due", all)).toEqual([]);
    await clock.advance(300);
    expect(files.take("due", all)).toEqual([b, a]);
  });

  it("waits no longer than five seconds when files keep being closed, nor when a pack is full", async () => {
    const { clock, files } = setUp();
    files.closed(a, 1);
    for (let i = 0; i < 49; i++) {
      await clock.advance(100);
      files.closed(b, 1);
    }
    expect(files.take("due", all)).toEqual([]);
    await clock.advance(100);
    files.closed(b, 1);
    expect(files.take("due", all)).toEqual([a, b]);
    files.closed(3 as Ino, 1);
    files.closed(4 as Ino, 15 << 20);
    expect(files.take("due", all)).toEqual([4]);
  });

  it("takes a file that stays open every 30 seconds", async () => {
    const { clock, files } = setUp();
    files.opened(a);
    await clock.advance(29_000);
    expect(files.take("due", all)).toEqual([]);
    await clock.advance(1_000);
    expect(files.take("due", all)).toEqual([a]);
    files.finished(a, true);
    await clock.advance(29_000);
    expect(files.take("due", all)).toEqual([]);
    await clock.advance(1_000);
    expect(files.take("due", all)).toEqual([a]);
  });

  it("answers who asks during an upload only after the next one", async () => {
    const { files } = setUp();
    files.opened(a);
    const first = files.urge(a);
    expect(files.take("urgent", all)).toEqual([a]);
    let second = false;
    void files.urge(a).then(() => {
      second = true;
    });
    expect(files.take("urgent", all)).toEqual([]);
    files.finished(a, true);
    await first;
    expect(second).toBe(false);
    expect(files.take("urgent", all)).toEqual([a]);
    files.finished(a, false);
    await new Promise(setImmediate);
    expect(second).toBe(true);
    expect(files.size).toBe(0);
  });

  it("retries a failed file later and later, and keeps who waits unless waiting does not help", async () => {
    const { clock, files } = setUp();
    files.closed(a, 1);
    const waits = files.urge(a);
    files.take("urgent", all);
    files.failed(a, new Error("no route"), false);
    expect(files.take("due", all)).toEqual([]);
    await clock.advance(1_000);
    expect(files.take("due", all)).toEqual([a]);
    files.failed(a, new Error("forbidden"), true);
    await expect(waits).rejects.toThrow("forbidden");
    await clock.advance(1_999);
    expect(files.take("due", all)).toEqual([]);
    await clock.advance(1);
    expect(files.take("due", all)).toEqual([a]);
  });
});
