import { expect, test } from "vitest";
import { ReadAhead } from "../../../src/cache/read-ahead.js";

test("a sequential reader gets a window that doubles up to its limit", () => {
  const ahead = new ReadAhead(16);
  expect(ahead.missed(0, 1)).toEqual({ first: 1, count: 2, trigger: 2 });
  expect(ahead.reached(2)).toEqual({ first: 3, count: 3, trigger: 4 });
  expect(ahead.reached(4)).toEqual({ first: 6, count: 6, trigger: 9 });
  expect(ahead.reached(9)).toEqual({ first: 12, count: 13, trigger: 18 });
  expect(ahead.reached(18)).toEqual({ first: 25, count: 9, trigger: 29 });
});

test("a reader that is faster than the window goes on from where that ends", () => {
  const ahead = new ReadAhead(16);
  ahead.missed(0, 1);
  expect(ahead.missed(2, 1)).toEqual({ first: 3, count: 4, trigger: 5 });
});

test("a random reader gets what it asked for and nothing more", () => {
  const ahead = new ReadAhead(16);
  for (const block of [40, 7, 90, 3, 55]) expect(ahead.missed(block, 1)).toBeUndefined();
  expect(ahead.reached(3)).toBeUndefined();
});

test("a sequential reader that jumps starts small again where it lands", () => {
  const ahead = new ReadAhead(16);
  for (let block = 0; block < 40; block += 4) ahead.missed(block, 4);
  expect(ahead.missed(500, 1)).toBeUndefined();
  expect(ahead.missed(501, 1)).toEqual({ first: 502, count: 2, trigger: 503 });
});
