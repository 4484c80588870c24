import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/index.js";

describe("systemClock", () => {
  it("gives nanoseconds that agree with the wall clock and do not run backwards", () => {
    const before = Date.now();
    let last = systemClock.nowNs();
    for (let index = 0; index < 1000; index++) {
      const now = systemClock.nowNs();
      expect(now >= last).toBe(true);
      last = now;
    }
    const lastMs = Number(last / 1_000_000n);
    expect(lastMs).toBeGreaterThan(before - 1000);
    expect(lastMs).toBeLessThan(Date.now() + 1000);
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
