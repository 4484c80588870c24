import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/index.js";
import { Ledger } from "../../../src/cache/ledger.js";
import { type FreeBytes, Room } from "../../../src/cache/room.js";

const MIB = 1 << 20;

describe("Room", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "podfs-room-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function roomWithFloor(spareBytes: number, free: FreeBytes) {
    const { bavail, bsize } = await statfs(directory);
    const limits = { limitBytes: Number.MAX_SAFE_INTEGER, freeSpaceBytes: bavail * bsize - spareBytes, waitMs: 500 };
    const ledger = new Ledger();
    const room = new Room(directory, limits, { ledger, clock: systemClock, free });
    await room.look();
    return room;
  }

  it("leaves the free space it was told to leave, far below its limit", async () => {
    // Others use the disk too: what is asked for is far from what is spare.
    const room = await roomWithFloor(4096 * MIB, async () => 0);
    expect(room.fits(64 * MIB)).toBe(true);
    expect(room.fits(8192 * MIB)).toBe(false);
  });

  it("evicts to keep to it, and refuses what does not fit then", async () => {
    const asked: number[] = [];
    const room = await roomWithFloor(-4096 * MIB, async (need) => {
      asked.push(need());
      return 0;
    });
    await expect(room.hold(MIB)).rejects.toMatchObject({ kind: "no-space" });
    expect(asked.length).toBeGreaterThan(0);
    expect(asked[0]).toBeGreaterThan(1024 * MIB);
  });
});
