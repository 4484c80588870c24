import { randomBytes } from "node:crypto";
import type { ObjectStore } from "../../backend/index.js";
import { percentileNs } from "../report/index.js";
import type { Measurement, Sample } from "../result.js";
import type { Effort } from "./effort.js";
import { type TimedOutcome, timeRequests } from "./timed-requests.js";

/** One measurement; what a later one needs of the backend, an earlier one has put there. */
export interface Step {
  readonly of: Omit<Measurement, "samples">;
  run(signal: AbortSignal): Promise<Omit<Sample, "target" | "round">>;
}

const SMALL_BYTES = 4096;
const LISTED_MAX = 1000;

/** How long single small requests take, one after the other: what an fsync or a miss waits for. */
export function latencySteps(store: ObjectStore, effort: Effort): Step[] {
  const { requestsMax, stepMs } = effort;
  const body = randomBytes(SMALL_BYTES);
  const keyOf = (index: number): string => `latency/${index % requestsMax}`;
  let putCount = 0;
  // Others than were put do not exist: the put before this may have run out of time.
  const existing = (index: number): string => keyOf(index % Math.max(1, putCount));
  const step = (
    id: string,
    title: string,
    request: (index: number, signal: AbortSignal) => Promise<unknown>,
  ): Step => ({
    of: { id, group: "latency", title, unit: "s", better: "lower", threads: 1 },
    run: async (signal) => {
      const countMax = id === "delete-small" ? putCount : requestsMax;
      const outcome = await timeRequests({
        ...{ parallel: 1, countMax, timeMs: stepMs, signal },
        request: (index) => request(index, signal),
      });
      return { value: medianSeconds(outcome), ...latencyOf(outcome) };
    },
  });
  return [
    step("put-small", "put, 4 KiB", async (index, signal) => {
      if (index === 0) putCount = 0;
      await store.put(keyOf(index), body, { signal });
      putCount = index + 1;
    }),
    step("get-small", "get, 4 KiB", (index, signal) => store.get(existing(index), { signal })),
    step("range-small", "get of a range, 1 KiB", (index, signal) =>
      store.get(existing(index), { range: { offset: 1024, length: 1024 }, signal }),
    ),
    step("head", "head", (index, signal) => store.head(existing(index), { signal })),
    step("list", "list", (_, signal) => takeSome(store.list("latency/", { signal }))),
    step("delete-small", "delete", (index, signal) => store.delete(keyOf(index), { signal })),
  ];
}

/** One page at most: what a large volume's list costs grows with it. */
async function takeSome(objects: AsyncIterable<unknown>): Promise<void> {
  let count = 0;
  for await (const _ of objects) if (++count === LISTED_MAX) return;
}

function medianSeconds({ latency }: TimedOutcome): number {
  return latency === undefined ? Number.NaN : percentileNs(latency, 50) / 1e9;
}

function latencyOf({ latency }: TimedOutcome): Pick<Sample, "latency"> {
  return latency === undefined ? {} : { latency };
}

/** How much goes through with several requests at once: what a checkpoint's upload, or a first epoch, waits for. */
export function throughputSteps(store: ObjectStore, effort: Effort): Step[] {
  const { objectBytes, objectsMax, stepBytesMax, stepMs, parallel } = effort;
  // Nothing that a backend could compress, or has seen before.
  const body = randomBytes(objectBytes);
  const size = `${objectBytes / 2 ** 20} MiB`;
  let putCount = 0;
  const step = (
    verb: "put" | "get",
    threads: number,
    request: (index: number, signal: AbortSignal) => Promise<unknown>,
  ): Step => ({
    of: {
      ...{ id: `${verb}-large-${threads}`, group: "throughput", title: `${verb}, ${size}` },
      ...{ unit: "B/s", better: "higher", threads },
    },
    run: async (signal) => {
      const countMax = Math.max(threads, Math.floor(stepBytesMax / objectBytes));
      const outcome = await timeRequests({
        ...{ parallel: threads, countMax, timeMs: stepMs, signal },
        request: (index) => request(index, signal),
      });
      return { value: (outcome.count * objectBytes) / outcome.seconds, ...latencyOf(outcome) };
    },
  });
  return parallel.flatMap((threads) => [
    step("put", threads, async (index, signal) => {
      await store.put(`throughput/${index % objectsMax}`, body, { signal });
      putCount = Math.min(objectsMax, Math.max(putCount, index + 1));
    }),
    step("get", threads, (index, signal) => store.get(`throughput/${index % Math.max(1, putCount)}`, { signal })),
  ]);
}
