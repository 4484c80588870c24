import { describe, expect, it } from "vitest";
import { Coverage } from "../../../src/staging/coverage.js";
import { SeededRandom } from "../../support/random.js";

describe("coverage", () => {
  it("of an empty file is whole", () => {
    expect(new Coverage(0).firstGap()).toBeUndefined();
  });

  it("names the first bytes that are missing", () => {
    const coverage = new Coverage(100);
    expect(coverage.firstGap()).toEqual({ begin: 0, end: 100 });
    expect(coverage.add(40, 60)).toBe(true);
    expect(coverage.firstGap()).toEqual({ begin: 0, end: 40 });
    expect(coverage.add(0, 40)).toBe(true);
    expect(coverage.firstGap()).toEqual({ begin: 60, end: 100 });
    expect(coverage.add(80, 100)).toBe(true);
    expect(coverage.firstGap()).toEqual({ begin: 60, end: 80 });
    expect(coverage.add(60, 80)).toBe(true);
    expect(coverage.firstGap()).toBeUndefined();
  });

  it("refuses what overlaps, and is as before then", () => {
    const coverage = new Coverage(100);
    coverage.add(20, 40);
    for (const [begin, end] of [
      [20, 40],
      [0, 21],
      [39, 50],
      [25, 30],
      [0, 100],
    ] as const) {
      expect(coverage.add(begin, end)).toBe(false);
    }
    expect(coverage.add(40, 100)).toBe(true);
    expect(coverage.firstGap()).toEqual({ begin: 0, end: 20 });
  });

  it("agrees with a list of bytes, whatever the order", () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 200; round++) {
      const size = 1 + random.below(40);
      const coverage = new Coverage(size);
      const bytes = new Array<boolean>(size).fill(false);
      for (let step = 0; step < 30; step++) {
        const begin = random.below(size);
        const end = begin + 1 + random.below(size - begin);
        const free = !bytes.slice(begin, end).includes(true);
        expect(coverage.add(begin, end)).toBe(free);
        if (free) bytes.fill(true, begin, end);
        const gap = bytes.indexOf(false);
        if (gap < 0) expect(coverage.firstGap()).toBeUndefined();
        else expect(coverage.firstGap()?.begin).toBe(gap);
      }
    }
  });
});
