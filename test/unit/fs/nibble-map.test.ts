import { describe, expect, it } from "vitest";
import { NibbleMap } from "../../../src/fs/nibble-map.js";
import { SeededRandom } from "../../support/random.js";

const SPREADS = [
  { name: "neighbours", stride: 1 },
  { name: "every fifth number", stride: 5 },
  { name: "one of each group", stride: 32 },
  { name: "multiples of everything that is a power of two in it", stride: 2 ** 20 },
];

describe("a nibble map", () => {
  it.each(SPREADS)("answers as a Map does: $name", ({ stride }) => {
    const seed = Date.now() % 1_000_000;
    const random = new SeededRandom(seed);
    const map = new NibbleMap();
    const model = new Map<number, number>();
    // First it grows, then it shrinks: set to 0 more and more often.
    for (let step = 0; step < 60_000; step++) {
      const index = random.below(8_000) * stride;
      const value = random.below(60_000) < step ? 0 : random.below(16);
      map.set(index, value);
      model.set(index, value);
      const other = random.below(8_000) * stride;
      expect(map.get(other), `seed ${seed}, step ${step}`).toBe(model.get(other) ?? 0);
    }
    for (const [index, value] of model) expect(map.get(index), `seed ${seed}`).toBe(value);
    for (const index of model.keys()) map.set(index, 0);
    for (const index of model.keys()) expect(map.get(index)).toBe(0);
  });

  it("keeps the largest inode numbers apart", () => {
    const map = new NibbleMap();
    const largest = Number.MAX_SAFE_INTEGER;
    map.set(largest, 15);
    map.set(largest - 1, 1);
    expect([map.get(largest), map.get(largest - 1), map.get(largest - 2)]).toEqual([15, 1, 0]);
  });
});
