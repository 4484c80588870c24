import { describe, expect, it } from "vitest";
import { decodeDescriptor, encodeDescriptor, newDescriptor } from "../../../src/format/index.js";

const DESCRIPTOR = newDescriptor({
  uuid: "0198c0de-0000-7000-8000-00000000cafe",
  createdAt: new Date("2026-01-02T03:04:05Z"),
});

const changed = (change: object): Buffer => encodeDescriptor({ ...DESCRIPTOR, ...change } as never);

describe("volume descriptor", () => {
  it("decodes to what was encoded, and a person can read it", () => {
    const bytes = encodeDescriptor(DESCRIPTOR);
    expect(decodeDescriptor(bytes)).toEqual(DESCRIPTOR);
    expect(bytes.toString()).toContain('"uuid": "0198c0de-0000-7000-8000-00000000cafe"');
  });

  it("of a newer volume says on one line which podfs it takes", () => {
    const features = { required: ["rot13", "warp"], optional: [] };
    for (const [change, reason] of [
      [{ formatVersion: 2 }, "format version 2"],
      [{ features }, "features this podfs does not know: rot13, warp"],
    ] as const) {
      const bytes = changed({ ...change, needsPodfs: "3.1.0" });
      expect(() => decodeDescriptor(bytes)).toThrow(
        expect.objectContaining({ kind: "too-new", message: expect.stringContaining("use podfs 3.1.0 or newer") }),
      );
      expect(() => decodeDescriptor(bytes)).toThrow(reason);
    }
  });

  it("may have optional features this podfs does not know", () => {
    const features = { required: [], optional: ["shiny"] };
    expect(decodeDescriptor(changed({ features })).features).toEqual(features);
  });

  it.each(["", "{", "[]", "null", '{"kind":"something else"}', "\x00\x01"])("is not to be found in %j", (text) => {
    expect(() => decodeDescriptor(Buffer.from(text))).toThrow(expect.objectContaining({ kind: "bad-magic" }));
  });

  it.each([
    { uuid: "no" },
    { createdAt: "yesterday" },
    { chunkSizeBytes: 4096 },
    { compression: "magic" },
    { features: [] },
    { features: { required: [1], optional: [] } },
    { formatVersion: "1" },
  ])("with %j is refused", (change) => {
    expect(() => decodeDescriptor(changed(change))).toThrow(expect.objectContaining({ kind: "malformed" }));
  });
});
