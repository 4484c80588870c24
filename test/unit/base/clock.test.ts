import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/index.js";

describe("systemClock", () => {
  it("gives file times in ticks that agree with the wall clock", () => {
    const beforeMs = Date.now();
    const fileTimeMs = systemClock.fileTimeMs();
    expect(fileTimeMs % 4).toBe(0);
    expect(fileTimeMs).toBeGreaterThan(beforeMs - 4);
    expect(fileTimeMs).toBeLessThanOrEqual(Date.now());
  });

  it("sleeps, and wakes for who aborts", async () => {
    await systemClock.sleep(1);
    const controller = new AbortController();
    const sleeping = systemClock.sleep(3_600_000, controller.signal);
    controller.abort(new Error("awake"));
    await expect(sleeping).rejects.toThrow("awake");
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow("awake");
  });

  it("sets timers, and cancels them", async () => {
    const fired: string[] = [];
    systemClock.setTimer(1, () => fired.push("fired"));
    systemClock.setTimer(1, () => fired.push("cancelled")).cancel();
    await systemClock.sleep(20);
    expect(fired).toEqual(["fired"]);
  });
});
