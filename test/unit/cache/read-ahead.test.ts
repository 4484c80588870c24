import { expect, test } from "vitest";
import { ReadAhead } from "../../../src/cache/read-ahead.js";

const blocks = { windowMax: 32, step: 8 };

/** Reads on from trigger to trigger; returns where each extension ended. */
function readOn(ahead: ReadAhead, steps: number): number[] {
  let range = ahead.missed(0, 1);
  const ends: number[] = [];
  for (let i = 0; i < steps && range !== undefined; i++) {
    ends.push(range.first + range.count);
    range = ahead.reached(range.trigger);
  }
  return ends;
}

test("a sequential reader gets a window that grows with what it has read", () => {
  const ahead = new ReadAhead(blocks);
  expect(ahead.missed(0, 1)).toEqual({ first: 1, count: 2, trigger: 2 });
  expect(ahead.reached(2)).toEqual({ first: 3, count: 3, trigger: 4 });
  expect(ahead.reached(4)).toEqual({ first: 6, count: 10, trigger: 11 });
  expect(ahead.reached(11)).toEqual({ first: 16, count: 24, trigger: 19 });
});

test("a full window moves by whole requests and is never passed", () => {
  const ends = readOn(new ReadAhead(blocks), 12);
  const steps = ends.slice(1).map((end, i) => end - (ends[i] ?? 0));
  expect(steps.slice(4)).toEqual(new Array(7).fill(8));
});

test("what is fetched ahead is at most four times what was read", () => {
  const ahead = new ReadAhead({ windowMax: 1000, step: 8 });
  let range = ahead.missed(0, 1);
  for (let read = 2; range !== undefined && read < 400; ) {
    expect(range.first + range.count).toBeLessThanOrEqual(5 * read);
    read = range.trigger;
    range = ahead.reached(read);
  }
});

test("a reader that is faster than the window goes on from where that ends", () => {
  const ahead = new ReadAhead(blocks);
  ahead.missed(0, 1);
  expect(ahead.missed(3, 1)).toEqual({ first: 4, count: 12, trigger: 10 });
});

test("misses that come in another order than they were made do not end the run", () => {
  const ahead = new ReadAhead(blocks);
  for (const block of [0, 4, 3, 6, 5]) ahead.missed(block, 1);
  expect(ahead.missed(24, 1)).toEqual({ first: 27, count: 24, trigger: 33 });
});

test("a random reader gets what it asked for and nothing more", () => {
  const ahead = new ReadAhead(blocks);
  for (const block of [40, 7, 90, 3, 55]) expect(ahead.missed(block, 1)).toBeUndefined();
  expect(ahead.reached(3)).toBeUndefined();
});

test("a sequential reader that jumps starts small again where it lands", () => {
  const ahead = new ReadAhead(blocks);
  for (let block = 0; block < 40; block += 4) ahead.missed(block, 4);
  expect(ahead.missed(500, 1)).toBeUndefined();
  expect(ahead.missed(501, 1)).toEqual({ first: 502, count: 2, trigger: 503 });
});
