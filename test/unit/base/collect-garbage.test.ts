import { expect, test } from "vitest";
import { allocateReusedBuffer, collectGarbage } from "../../../src/base/index.js";

test("what was dropped is collected at once, shared memory too", async () => {
  const dropped = makeAndDrop();
  // A WeakRef keeps its target to the end of the turn.
  await new Promise(setImmediate);
  expect(dropped.deref()).toBeDefined();
  await new Promise(setImmediate);
  collectGarbage();
  expect(dropped.deref()).toBeUndefined();
});

/** In a function of its own, so that no register or stack slot still has the buffer. */
function makeAndDrop(): WeakRef<Buffer> {
  return new WeakRef(allocateReusedBuffer(1 << 20));
}
