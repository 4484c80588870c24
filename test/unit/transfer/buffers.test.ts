import { expect, test } from "vitest";
import { Buffers } from "../../../src/transfer/worker/buffers.js";

test("what was given back is used again, by its size", () => {
  const buffers = new Buffers();
  const [small, large] = [buffers.take(100), buffers.take((1 << 20) + 1)];
  expect([small.length, large.length]).toEqual([1 << 20, 2 << 20]);
  buffers.give(small);
  buffers.give(large);
  expect(buffers.take(2 << 20)).toBe(large);
  expect(buffers.take(1 << 20)).toBe(small);
  expect(buffers.take(1 << 20)).not.toBe(small);
});

test("what was dropped is never used again, and does not pile up however many requests fail", async () => {
  const buffers = new Buffers();
  const dropped = dropOne(buffers);
  // A WeakRef keeps its target to the end of the turn.
  await new Promise(setImmediate);
  const next = buffers.take(1 << 20);
  expect(dropped.deref()).toBeDefined();
  expect(next).not.toBe(dropped.deref());
  buffers.give(next);
  await new Promise(setImmediate);
  for (let i = 0; i < 256; i++) {
    buffers.drop(buffers.take(1 << 20));
    await new Promise(setImmediate);
  }
  expect(dropped.deref()).toBeUndefined();
});

/** In a function of its own, so that no register or stack slot still has the buffer. */
function dropOne(buffers: Buffers): WeakRef<Buffer> {
  const buffer = buffers.take(1 << 20);
  buffers.drop(buffer);
  return new WeakRef(buffer);
}
