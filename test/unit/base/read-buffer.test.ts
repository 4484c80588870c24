import { expect, test } from "vitest";
import { allocateReadBuffer, allocateReusedBuffer } from "../../../src/base/index.js";

test.each([allocateReadBuffer, allocateReusedBuffer])(
  "%o: the asked length, and memory that nobody else has",
  (make) => {
    const [one, other] = [make(1 << 20), make(100)];
    expect(one.length).toBe(1 << 20);
    expect(other.length).toBe(100);
    expect(one.buffer).not.toBe(other.buffer);
    // Far enough behind where the allocator begins that it is not the first 32 bytes of a page.
    for (const { byteOffset } of [one, other]) expect((16 + byteOffset) % 4096).toBeGreaterThanOrEqual(32);
  },
);
