import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

const MODULE = pathToFileURL(resolve(import.meta.dirname, "../../bench/support/loop-stalls.mjs")).href;
const HELD_UP_MS = 30;

interface Stretch {
  readonly gapMs: number;
  readonly cpuMs: number;
  readonly ownMs: number;
}

/** What is seen of a process whose main thread does this once. In one of its own: it is main threads that are watched. */
function stretchWith(action: string): Stretch {
  const program = `
    import { readFileSync } from "node:fs";
    import { LoopStalls } from ${JSON.stringify(MODULE)};
    const cpuMs = () => Number(readFileSync("/proc/self/schedstat", "latin1").split(" ")[0]) / 1e6;
    const stalls = new LoopStalls();
    ${action};
    console.log(JSON.stringify(stalls.take().worst));`;
  return JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }),
  ) as Stretch;
}

describe("what a stall of the event loop was", () => {
  it("is the program's when it computes", () => {
    const { ownMs, cpuMs } = stretchWith(`for (const end = cpuMs() + ${HELD_UP_MS}; cpuMs() < end; );`);
    expect(cpuMs).toBeGreaterThanOrEqual(HELD_UP_MS);
    expect(ownMs).toBeGreaterThanOrEqual(cpuMs);
  });

  it("is the program's when it waits for a lock", () => {
    const wait = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${HELD_UP_MS})`;
    const { gapMs, ownMs } = stretchWith(wait);
    expect(gapMs).toBeGreaterThanOrEqual(HELD_UP_MS - 1);
    expect(ownMs).toBeGreaterThanOrEqual(HELD_UP_MS - 1);
  });
});
