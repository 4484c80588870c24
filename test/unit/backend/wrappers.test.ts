import { describe, expect, it } from "vitest";
import {
  addCounters,
  createCounters,
  type FaultPlan,
  failTimes,
  isBackendError,
  MemoryStore,
  type ObjectStore,
  type RetryEvent,
  withFaults,
  withLimit,
  withMeter,
  withRetry,
} from "../../../src/backend/index.js";
import { Deferred } from "../../../src/base/index.js";
import { expectKind } from "../../contract/object-store-suite.js";
import { ManualClock } from "../../support/manual-clock.js";

const bytes = new TextEncoder().encode("content");

/** A request that takes as long as its pauses, on a clock that runs as fast as it can. */
async function whileTimePasses<T>(clock: ManualClock, request: Promise<T>, totalMs = 3_600_000): Promise<T> {
  let isOver = false;
  const settled = request.finally(() => {
    isOver = true;
  });
  settled.catch(() => {});
  const endMs = clock.monotonicMs() + totalMs;
  await clock.advance(0);
  while (!isOver && clock.monotonicMs() < endMs) await clock.advance(100);
  return await settled;
}

describe("withRetry", () => {
  it("tries again, with pauses that grow up to a limit, until it succeeds", async () => {
    const clock = new ManualClock();
    const events: RetryEvent[] = [];
    const faulty = withFaults(new MemoryStore(), failTimes(9, "unavailable"), clock);
    const store = withRetry(faulty, { clock, delayMsMax: 5000, onRetry: (event) => events.push(event) });
    await whileTimePasses(clock, store.put("a", bytes));
    expect(events.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // The manual clock's chance is always ½.
    expect(events.map(({ delayMs }) => delayMs)).toEqual([50, 100, 200, 400, 800, 1600, 2500, 2500, 2500]);
    expect(events[0]).toMatchObject({ operation: "put", key: "a" });
    expect((await store.get("a")).body).toEqual(bytes);
  });

  it("does not repeat what will not change", async () => {
    const clock = new ManualClock();
    for (const kind of ["not-found", "access-denied", "no-such-backend", "bad-response", "no-space"] as const) {
      const counters = createCounters();
      const faulty = withFaults(new MemoryStore(), failTimes(1, kind), clock);
      await expectKind(withRetry(withMeter(faulty, counters), { clock }).get("a"), kind);
      expect(counters.gets).toBe(1);
    }
  });

  it("repeats what it is told to", async () => {
    const clock = new ManualClock();
    const faulty = withFaults(new MemoryStore(), failTimes(3, "no-space"), clock);
    const store = withRetry(faulty, { clock, isRetryable: (error) => error.kind === "no-space" });
    await whileTimePasses(clock, store.put("a", bytes));
    expect(await store.head("a")).toBeDefined();
  });

  it("gives up after so many attempts, or when time is up", async () => {
    const clock = new ManualClock();
    const counters = createCounters();
    const broken = withMeter(
      withFaults(new MemoryStore(), () => ({ error: "throttled" }), clock),
      counters,
    );
    await expectKind(whileTimePasses(clock, withRetry(broken, { clock, attemptsMax: 4 }).get("a")), "throttled");
    expect(counters.gets).toBe(4);
    const startMs = clock.monotonicMs();
    await expectKind(whileTimePasses(clock, withRetry(broken, { clock, deadlineMs: 10_000 }).get("a")), "throttled");
    expect(clock.monotonicMs() - startMs).toBeLessThanOrEqual(10_000);
  });

  it("ends when the caller aborts, also in the middle of a pause", async () => {
    const clock = new ManualClock();
    const broken = withFaults(new MemoryStore(), () => ({ error: "unavailable" }), clock);
    const controller = new AbortController();
    const request = withRetry(broken, { clock }).get("a", { signal: controller.signal });
    await new Promise(setImmediate);
    controller.abort();
    await expectKind(request, "aborted");
  });

  it("gives up on an attempt that hangs, and makes another", async () => {
    const clock = new ManualClock();
    const plan: FaultPlan = (_, index) => (index === 0 ? { hang: true } : undefined);
    const store = withRetry(withFaults(new MemoryStore(), plan, clock), { clock, attemptTimeoutMs: 1000 });
    await whileTimePasses(clock, store.put("a", bytes));
    const controller = new AbortController();
    controller.abort();
    await expectKind(store.get("a", { signal: controller.signal }), "aborted");
  });

  it("continues a listing where it broke", async () => {
    const clock = new ManualClock();
    const memory = new MemoryStore();
    for (let index = 0; index < 2500; index++) await memory.put(`key-${String(index).padStart(5, "0")}`, bytes);
    const plan: FaultPlan = (_, index) => (index % 2 === 0 ? { error: "unavailable" } : undefined);
    const store = withRetry(withFaults(memory, plan, clock), { clock });
    const keys = (async () => {
      const seen = [];
      for await (const { key } of store.list("key-")) seen.push(key);
      return seen;
    })();
    const seen = await whileTimePasses(clock, keys);
    expect(new Set(seen).size).toBe(2500);
    expect(seen).toEqual([...seen].sort());
  });

  describe("of a conditional put whose answer was lost", () => {
    const clock = new ManualClock();
    const lostAnswer: FaultPlan = ({ operation }, index) =>
      operation === "put" && index === 0 ? { error: "unavailable", when: "after" } : undefined;

    it("finds that it has succeeded", async () => {
      const memory = new MemoryStore();
      const store = withRetry(withFaults(memory, lostAnswer, clock), { clock });
      const version = await whileTimePasses(clock, store.put("lease", bytes, { ifAbsent: true }));
      expect(version).toBe((await memory.head("lease"))?.version);
      const again = withRetry(withFaults(memory, lostAnswer, clock), { clock });
      const next = await whileTimePasses(clock, again.put("lease", Uint8Array.of(2), { ifMatch: version }));
      expect(next).toBe((await memory.head("lease"))?.version);
    });

    it("is not fooled by somebody else's object", async () => {
      const memory = new MemoryStore();
      const plan: FaultPlan = (request, index) => {
        if (index === 0) void memory.put("lease", new TextEncoder().encode("other's"));
        return index === 0 ? { error: "unavailable" } : lostAnswer(request, index);
      };
      const store = withRetry(withFaults(memory, plan, clock), { clock });
      await expectKind(whileTimePasses(clock, store.put("lease", bytes, { ifAbsent: true })), "precondition-failed");
    });
  });
});

describe("withLimit", () => {
  it("lets no more requests through at once than it may", async () => {
    const gate = new Deferred();
    let running = 0;
    let runningMax = 0;
    const slow: ObjectStore = new (class extends MemoryStore {
      override async head(): Promise<undefined> {
        running++;
        runningMax = Math.max(runningMax, running);
        await gate.promise;
        running--;
      }
    })();
    const store = withLimit(slow, 3);
    const controller = new AbortController();
    const heads = Array.from({ length: 10 }, (_, index) => store.head(`a-${index}`));
    const aborted = store.head("b", { signal: controller.signal });
    controller.abort();
    await expectKind(aborted, "aborted");
    gate.resolve();
    await Promise.all(heads);
    expect(runningMax).toBe(3);
  });
});

describe("withMeter", () => {
  it("counts requests, bytes, errors and time", async () => {
    const clock = new ManualClock();
    const counters = createCounters();
    const plan: FaultPlan = ({ key }) => {
      if (key === "slow") return { latencyMs: 250 };
      return key === "broken" ? { error: "unavailable" } : undefined;
    };
    const store = withMeter(withFaults(new MemoryStore(), plan, clock), counters, clock);
    await whileTimePasses(clock, store.put("slow", bytes), 1000);
    await store.put("a", bytes, { ifAbsent: true });
    await expectKind(store.put("a", bytes, { ifAbsent: true }), "precondition-failed");
    await store.get("a", { range: { offset: 0, length: 3 } });
    await expectKind(store.get("missing"), "not-found");
    await expectKind(store.get("broken"), "unavailable");
    await store.head("a");
    await store.delete("a");
    for await (const _ of store.list(""));
    await store.probe();
    expect(counters).toEqual({
      puts: 3,
      gets: 3,
      heads: 1,
      deletes: 1,
      lists: 1,
      putBytes: 2 * bytes.length,
      getBytes: 3,
      retries: 0,
      errors: 1,
      putMs: 250,
      getMs: 0,
      otherMs: 0,
    });
    const sum = createCounters();
    addCounters(sum, counters);
    addCounters(sum, structuredClone(counters));
    expect(sum.puts).toBe(6);
    expect(isBackendError(undefined)).toBe(false);
  });
});
