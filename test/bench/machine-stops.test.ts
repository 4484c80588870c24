import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const MODULE = resolve(import.meta.dirname, "../../bench/support/machine-stops.mjs");

interface Stretch {
  readonly beganMs: number;
  readonly endMs: number;
  readonly gapMs: number;
  readonly ownMs: number;
  readonly queueMs: number;
}

const { ownMsWithoutStops } = (await import(MODULE)) as {
  ownMsWithoutStops(
    program: { readonly worst: Stretch; readonly stretches: readonly Stretch[] },
    idle: readonly (readonly Stretch[])[],
  ): number;
};

/** Of an idle process the timer was due after 3 ms. */
const DUE_AFTER_MS = 3;

function stretch(beganMs: number, endMs: number, parts: { readonly queueMs?: number; readonly ownMs?: number } = {}) {
  const gapMs = endMs - beganMs;
  const { queueMs = 0, ownMs = gapMs - queueMs } = parts;
  return { beganMs, endMs, gapMs, ownMs, queueMs };
}

/** An idle process that was late at this time. */
function late(fromMs: number, toMs: number, queueMs = 0): Stretch {
  return stretch(fromMs - DUE_AFTER_MS, toMs, { queueMs });
}

function ownMs(stretches: readonly Stretch[], ...idle: readonly (readonly Stretch[])[]): number {
  const [worst] = stretches.toSorted((a, b) => b.ownMs - a.ownMs);
  return ownMsWithoutStops({ worst: worst!, stretches }, idle);
}

describe("a stall without what the machine stood still in it", () => {
  it("is shorter by the time in which the idle processes of all processors were late", () => {
    expect(ownMs([stretch(100, 130)], [late(105, 125)], [late(105, 125)])).toBe(10);
  });

  it("is as long as it was when they were late at another time, or nobody looked", () => {
    expect(ownMs([stretch(100, 130)], [late(60, 90), late(140, 170)], [late(60, 170)])).toBe(30);
    expect(ownMs([stretch(100, 130)], [], [])).toBe(30);
    expect(ownMs([stretch(100, 130)])).toBe(30);
  });

  it("is as long as it was when one processor stood still, on which the program need not have been", () => {
    expect(ownMs([stretch(100, 130)], [late(105, 125)], [])).toBe(30);
    expect(ownMs([stretch(100, 130)], [late(102, 114)], [late(115, 128)])).toBe(30);
  });

  it("is shorter by no more than all of them share with it", () => {
    expect(ownMs([stretch(100, 130)], [late(80, 110)], [late(95, 112)])).toBe(20);
    expect(ownMs([stretch(100, 130)], [late(102, 120)], [late(112, 140)])).toBe(22);
    expect(ownMs([stretch(100, 140)], [late(102, 110), late(120, 128)], [late(100, 139)])).toBe(24);
  });

  it("contains what an idle process waited for its processor, which the program may have had", () => {
    expect(ownMs([stretch(100, 130)], [late(105, 125, 20)], [late(105, 125)])).toBe(30);
    expect(ownMs([stretch(100, 130)], [late(105, 125, 4)], [late(105, 125, 6)])).toBe(20);
  });

  it("contains as much of a stop as may have been in its waits", () => {
    expect(ownMs([stretch(100, 130, { queueMs: 12 })], [late(105, 125)], [late(105, 125)])).toBe(10);
    expect(ownMs([stretch(100, 130, { queueMs: 22 })], [late(105, 125)], [late(105, 125)])).toBe(8);
  });

  it("is judged by itself: the next one may be the longest then", () => {
    const stretches = [stretch(100, 130), stretch(200, 218)];
    expect(ownMs(stretches, [late(103, 128)], [late(103, 128)])).toBe(18);
  });

  it("is no shorter than those that are not kept may be", () => {
    expect(ownMs([stretch(100, 130)], [late(101, 130)], [late(101, 130)])).toBe(5);
    expect(ownMsWithoutStops({ worst: stretch(100, 102), stretches: [] }, [[], []])).toBe(2);
  });
});
