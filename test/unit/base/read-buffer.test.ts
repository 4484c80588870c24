import { expect, test } from "vitest";
import { allocateReadBuffer } from "../../../src/base/index.js";

test("a read buffer has the asked length, and memory that nobody else has", () => {
  const [one, other] = [allocateReadBuffer(1 << 20), allocateReadBuffer(100)];
  expect(one.length).toBe(1 << 20);
  expect(other.length).toBe(100);
  expect(one.buffer).not.toBe(other.buffer);
  // Far enough behind where the allocator begins that it is not the first 32 bytes of a page.
  for (const { byteOffset } of [one, other]) expect((16 + byteOffset) % 4096).toBeGreaterThanOrEqual(32);
});
