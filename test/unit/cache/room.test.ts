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

  describe("now or not at all", () => {
    function roomOf(limitBytes: number, { usedBytes, dirtyBytes }: { usedBytes: number; dirtyBytes: number }) {
      const ledger = new Ledger();
      ledger.restore({ bytes: usedBytes, dirtyBytes });
      const evicted: number[] = [];
      const free: FreeBytes = async (need) => {
        const bytes = Math.min(need(), ledger.files.bytes - dirtyBytes);
        ledger.restore({ bytes: ledger.files.bytes - bytes, dirtyBytes });
        evicted.push(bytes);
        return bytes;
      };
      // It may wait for ever, and must not.
      const limits = { limitBytes, freeSpaceBytes: 0, waitMs: Number.POSITIVE_INFINITY };
      return { room: new Room(directory, limits, { ledger, clock: systemClock, free }), ledger, evicted };
    }

    it("holds what fits, and what fits after evicting", async () => {
      const { room, ledger, evicted } = roomOf(100 * MIB, { usedBytes: 80 * MIB, dirtyBytes: 30 * MIB });
      const release = await room.holdNow(15 * MIB);
      expect(evicted).toEqual([]);
      await room.holdNow(40 * MIB);
      expect(evicted).toEqual([35 * MIB]);
      expect(ledger.usedBytes).toBe(100 * MIB);
      release();
      expect(ledger.usedBytes).toBe(85 * MIB);
    });

    it("refuses what would have to wait for uploads, and evicts nothing for it", async () => {
      const { room, evicted } = roomOf(100 * MIB, { usedBytes: 80 * MIB, dirtyBytes: 30 * MIB });
      await expect(room.holdNow(71 * MIB)).rejects.toMatchObject({ kind: "no-space" });
      await expect(room.holdNow(101 * MIB)).rejects.toThrow("101 MiB do not fit a cache of 100 MiB");
      expect(evicted).toEqual([]);
    });
  });
});
