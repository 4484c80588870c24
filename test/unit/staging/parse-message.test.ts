import { describe, expect, it } from "vitest";
import { parseMessage } from "../../../src/staging/parse-message.js";

const HELLO = {
  ...{ type: "hello", version: 1, pid: 2, client: "c", mode: "shm", slots: 2, slotBytes: 4096 },
  ...{ pidNamespace: 3, reason: "" },
};
const BEGIN = { type: "begin", save: 1, parent: 1, name: "a", sizeBytes: 10, replace: false, mode: 0o644 };
const PIECE = { device: "GPU-1", handle: "00", handleOffset: 0, bytes: 5, slotOffset: 0 };

describe("a message", () => {
  it("is taken with what it must have, and nothing else", () => {
    expect(parseMessage(HELLO)).toEqual(HELLO);
    expect(parseMessage({ ...HELLO, numaNode: 1 })).toEqual({ ...HELLO, numaNode: 1 });
    expect(parseMessage({ ...BEGIN, later: "unknown" })).toEqual(BEGIN);
    expect(parseMessage({ ...BEGIN, name: "\xff\x01" })).toMatchObject({ name: "\xff\x01" });
    const fill = { type: "fill", save: 1, slot: 0, offset: 0, length: 5, pieces: [PIECE] };
    expect(parseMessage(fill)).toEqual(fill);
    expect(parseMessage({ type: "commit", save: 1, retire: ["b"] })).toEqual({
      type: "commit",
      save: 1,
      retire: ["b"],
    });
    const index = { type: "commit", save: 1, retire: [], after: ["b\xff"] };
    expect(parseMessage(index)).toEqual(index);
  });

  it("of a later version means nothing", () => {
    expect(parseMessage({ type: "news", anything: 1 })).toBeUndefined();
  });

  it.each([
    [null],
    [[]],
    ["begin"],
    [{}],
    [{ type: 3 }],
    [{ ...HELLO, numaNode: -1 }],
    [{ ...BEGIN, save: -1 }],
    [{ ...BEGIN, save: 1.5 }],
    [{ ...BEGIN, sizeBytes: "10" }],
    [{ ...BEGIN, sizeBytes: 2 ** 60 }],
    [{ ...BEGIN, name: undefined }],
    [{ ...BEGIN, name: "a\u012fb" }],
    [{ ...BEGIN, name: "a\0" }],
    [{ type: "commit", save: 1, retire: ["…"] }],
    [{ ...BEGIN, replace: 1 }],
    [{ type: "commit", save: 1, retire: "b" }],
    [{ type: "commit", save: 1, retire: [], after: ["…"] }],
    [{ type: "commit", save: 1, retire: [1] }],
    [{ type: "fill", save: 1, slot: 0, offset: 0, length: 5, pieces: [{ ...PIECE, bytes: -5 }] }],
  ])("of wrong types is a breach of the protocol: %j", (value) => {
    expect(() => parseMessage(value)).toThrow(expect.objectContaining({ kind: "protocol" }));
  });
});
