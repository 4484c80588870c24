import { expect, test } from "vitest";
import { Deferred } from "../../../src/base/index.js";
import type { Priority } from "../../../src/transfer/index.js";
import { Scheduler } from "../../../src/transfer/scheduler.js";

function recorder(scheduler: Scheduler) {
  const started: string[] = [];
  const jobs = new Map<string, Deferred>();
  const add = (name: string, priority: Priority, signal?: AbortSignal): Promise<void> => {
    const done = new Deferred();
    jobs.set(name, done);
    return scheduler.run("in", priority, signal, () => {
      started.push(name);
      return done.promise;
    });
  };
  const end = async (name: string): Promise<void> => {
    jobs.get(name)?.resolve();
    await new Promise(setImmediate);
  };
  return { started, add, end };
}

test("a place is kept for urgent jobs, and those that wait start by priority, then in order", async () => {
  const { started, add, end } = recorder(new Scheduler({ in: 2, out: 1 }));
  const all = [add("b1", "background"), add("b2", "background"), add("n1", "normal"), add("n2", "normal")];
  all.push(add("u1", "urgent"), add("u2", "urgent"));
  await new Promise(setImmediate);
  expect(started).toEqual(["b1", "u1"]);
  await end("b1");
  expect(started).toEqual(["b1", "u1", "u2"]);
  await end("u1");
  expect(started).toEqual(["b1", "u1", "u2"]);
  await end("u2");
  expect(started).toEqual(["b1", "u1", "u2", "n1"]);
  await end("n1");
  await end("n2");
  await end("b2");
  await Promise.all(all);
  expect(started).toEqual(["b1", "u1", "u2", "n1", "n2", "b2"]);
});

test("who aborts while waiting leaves the queue; the other lane is not concerned", async () => {
  const scheduler = new Scheduler({ in: 1, out: 1 });
  const { started, add, end } = recorder(scheduler);
  const first = add("a", "urgent");
  const abort = new AbortController();
  const second = add("b", "urgent", abort.signal);
  const third = add("c", "background");
  abort.abort(new Error("no more"));
  await expect(second).rejects.toThrow("no more");
  await expect(scheduler.run("out", "background", undefined, async () => 7)).resolves.toBe(7);
  await end("a");
  await end("c");
  await Promise.all([first, third]);
  expect(started).toEqual(["a", "c"]);
});

test("close fails what waits and waits for what runs", async () => {
  const scheduler = new Scheduler({ in: 1, out: 1 });
  const { add, end } = recorder(scheduler);
  const first = add("a", "normal");
  const second = add("b", "normal");
  await new Promise(setImmediate);
  let closed = false;
  const closing = scheduler.close().then(() => {
    closed = true;
  });
  await expect(second).rejects.toMatchObject({ kind: "worker" });
  expect(closed).toBe(false);
  await end("a");
  await Promise.all([first, closing]);
  await expect(add("c", "urgent")).rejects.toMatchObject({ kind: "worker" });
});
