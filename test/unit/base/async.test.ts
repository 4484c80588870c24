import { describe, expect, it } from "vitest";
import { Deferred, KeyedQueue, Limiter, orAborted, TimeoutError, withTimeout } from "../../../src/base/index.js";
import { ManualClock } from "../../support/manual-clock.js";

const settle = () => new Promise(setImmediate);

describe("Limiter", () => {
  it("runs no more than it may at once, in the order they came", async () => {
    const limiter = new Limiter(2);
    const gates = [0, 1, 2, 3].map(() => new Deferred());
    const started: number[] = [];
    const runs = gates.map((gate, index) =>
      limiter.run(async () => {
        started.push(index);
        await gate.promise;
      }),
    );
    await settle();
    expect(started).toEqual([0, 1]);
    expect([limiter.active, limiter.waiting]).toEqual([2, 2]);
    gates[1]?.resolve();
    await settle();
    expect(started).toEqual([0, 1, 2]);
    for (const gate of gates) gate.resolve();
    await Promise.all(runs);
    expect([limiter.active, limiter.waiting]).toEqual([0, 0]);
  });

  it("gives the place back when the task fails", async () => {
    const limiter = new Limiter(1);
    await expect(limiter.run(() => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
    await expect(limiter.run(async () => 1)).resolves.toBe(1);
  });

  it("lets go of who aborts while waiting", async () => {
    const limiter = new Limiter(1);
    const release = await limiter.acquire();
    const controller = new AbortController();
    const waiting = limiter.acquire(controller.signal);
    controller.abort(new Error("changed my mind"));
    await expect(waiting).rejects.toThrow("changed my mind");
    expect(limiter.waiting).toBe(0);
    release();
    release();
    expect(limiter.active).toBe(0);
    await expect(limiter.acquire(controller.signal)).rejects.toThrow("changed my mind");
    expect(limiter.active).toBe(0);
  });
});

describe("KeyedQueue", () => {
  it("runs tasks of one key one after the other, and others beside them", async () => {
    const queue = new KeyedQueue<string>();
    const gate = new Deferred();
    const order: string[] = [];
    const first = queue.run("a", async () => {
      await gate.promise;
      order.push("first");
    });
    const second = queue.run("a", async () => order.push("second"));
    await queue.run("b", async () => order.push("other"));
    expect(order).toEqual(["other"]);
    gate.resolve();
    await Promise.all([first, second]);
    expect(order).toEqual(["other", "first", "second"]);
    expect(queue.size).toBe(0);
  });

  it("goes on after a task that failed", async () => {
    const queue = new KeyedQueue<number>();
    const failing = queue.run(1, () => Promise.reject(new Error("failed")));
    const next = queue.run(1, async () => "next");
    await expect(failing).rejects.toThrow("failed");
    await expect(next).resolves.toBe("next");
    expect(queue.size).toBe(0);
  });
});

describe("withTimeout", () => {
  it("gives up on a task that takes too long, and tells it", async () => {
    const clock = new ManualClock();
    let told: unknown;
    const run = withTimeout(
      (signal) => {
        signal.addEventListener("abort", () => {
          told = signal.reason;
        });
        return new Promise<never>(() => {});
      },
      { clock, timeoutMs: 50, what: "reading" },
    );
    const outcome = expect(run).rejects.toThrow("reading took longer than 50 ms");
    await clock.advance(50);
    await outcome;
    expect(told).toBeInstanceOf(TimeoutError);
  });

  it("passes the caller's abort on", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const run = withTimeout((signal) => orAborted(new Promise<never>(() => {}), signal), {
      clock,
      timeoutMs: 50,
      what: "reading",
      signal: controller.signal,
    });
    controller.abort(new Error("stop"));
    await expect(run).rejects.toThrow("stop");
  });

  it("returns what the task returns", async () => {
    const options = { clock: new ManualClock(), timeoutMs: 50, what: "reading" };
    await expect(withTimeout(async () => 7, options)).resolves.toBe(7);
    await expect(withTimeout(() => Promise.reject(new Error("own")), options)).rejects.toThrow("own");
  });
});
