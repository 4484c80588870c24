import { describe, expect, it } from "vitest";
import { decodeLease, encodeLease, FormatError, hexHashOf, type Lease } from "../../../src/format/index.js";
import { damage, epoch, segmentSeq } from "./samples.js";

const LEASE: Lease = {
  epoch: epoch(5),
  holder: { id: "0198c0de", host: "pod-ü\n7", pid: 4321, mountpoint: '/work "space"' },
  renewedAtMs: 1_790_000_000_000,
  expiresAtMs: 1_790_000_060_000,
  released: false,
  beginsAt: [
    { epoch: epoch(1), seq: segmentSeq(1) },
    { epoch: epoch(5), seq: segmentSeq(812) },
  ],
  checkpointSeq: segmentSeq(800),
};

/** A lease with these members and a right checksum. */
function signed(members: object): Buffer {
  const json = JSON.stringify(members);
  return Buffer.from(`${json}\n${hexHashOf(Buffer.from(json))}\n`);
}

describe("lease", () => {
  it("decodes to what was encoded", () => {
    expect(decodeLease(encodeLease(LEASE))).toEqual(LEASE);
    const young = { ...LEASE, checkpointSeq: undefined, beginsAt: [], released: true };
    expect(decodeLease(encodeLease(young))).toEqual(young);
  });

  it("is refused after any cut and any flipped bit", () => {
    damage(encodeLease(LEASE), (damaged, how) => {
      expect(() => decodeLease(damaged), how).toThrow(FormatError);
    });
  });

  it("is refused when it is something else, newer, or makes no sense", () => {
    const members = JSON.parse(encodeLease(LEASE).toString().split("\n")[0] ?? "") as object;
    expect(decodeLease(signed({ ...members, later: "unknown members are ignored" }))).toEqual(LEASE);
    const beginsAt = [LEASE.beginsAt[1], LEASE.beginsAt[0]];
    for (const [change, kind] of [
      [{ kind: "podfs volume" }, "bad-magic"],
      [{ version: 2 }, "too-new"],
      [{ epoch: -1 }, "malformed"],
      [{ holder: "me" }, "malformed"],
      [{ beginsAt }, "malformed"],
    ] as const) {
      expect(() => decodeLease(signed({ ...members, ...change }))).toThrow(expect.objectContaining({ kind }));
    }
  });
});
