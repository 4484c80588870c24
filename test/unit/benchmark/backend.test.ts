import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createObjectStore, openBackend } from "../../../src/backend/index.js";
import {
  type BackendResult,
  measureBackend,
  renderBackendHtml,
  renderBackendText,
} from "../../../src/benchmark/backend/index.js";
import { LatencyHistogram } from "../../../src/benchmark/backend/latency-histogram.js";
import { percentileNs } from "../../../src/benchmark/report/index.js";
import { type S3TestServer, startS3Server } from "../../support/s3-server.js";

const SLOW_MS = 300_000;

function measure(url: string, signal = new AbortController().signal): Promise<BackendResult> {
  return measureBackend({ url, quick: true, signal });
}

function outcomes({ checks }: BackendResult): Record<string, string> {
  return Object.fromEntries(checks.map(({ id, outcome }) => [id, outcome]));
}

const ALL_OK = {
  ...{ "put-get": "ok", range: "ok", "overwrite-visibility": "ok", "create-if-absent": "ok", "compare-and-swap": "ok" },
  ...{ list: "ok", delete: "ok", keys: "ok", "large-object": "ok" },
};

function expectFigures({ measurements }: BackendResult): void {
  expect(measurements.length).toBeGreaterThan(8);
  for (const { id, samples } of measurements) {
    expect(samples.length, id).toBeGreaterThan(0);
    for (const { value, latency } of samples) {
      expect(value, id).toBeGreaterThan(0);
      expect(latency?.count, id).toBeGreaterThan(0);
    }
  }
}

describe("measuring a directory as a backend", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "podfs-bench-test-"));
    await writeFile(join(directory, "somebody-elses"), "stays");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it(
    "says that it cannot compare and swap, and leaves nothing behind",
    async () => {
      const result = await measure(directory);
      expect(outcomes(result)).toEqual({ ...ALL_OK, "compare-and-swap": "weak" });
      expectFigures(result);
      expect(await readdir(directory)).toEqual(["somebody-elses"]);
      const text = renderBackendText(result);
      expect(text).toMatch(/meets 8 of podfs's 9 needs, 1 only with one writer at a time/);
      expect(text).toMatch(/weak {4}of several replacements/);
      const page = renderBackendHtml(result);
      for (const { need } of result.checks) expect(page.includes(need), need).toBe(true);
      expect(/NaN|undefined/.exec(text + page)).toBeNull();
    },
    SLOW_MS,
  );

  it(
    "leaves nothing behind when it is stopped",
    async () => {
      const controller = new AbortController();
      const reason = new Error("enough");
      const stopAt = 12;
      const running = measureBackend({
        ...{ url: directory, quick: true, signal: controller.signal },
        onProgress: ({ step }) => {
          if (step === stopAt) setTimeout(() => controller.abort(reason), 1);
        },
      });
      await expect(running).rejects.toBe(reason);
      expect(await readdir(directory)).toEqual(["somebody-elses"]);
    },
    SLOW_MS,
  );

  it.each([
    ["", /the backend is empty/],
    ["/nowhere/at/all", /^the directory \/nowhere\/at\/all does not exist/],
    ["gs://bucket", /unknown kind of backend/],
  ])("refuses %j in one line", async (url, message) => {
    await expect(measure(url)).rejects.toThrow(message);
    await expect(measure(join(directory, "somebody-elses"))).rejects.toThrow(/is not a directory$/);
  });
});

describe.each([true, false])("measuring an S3 server that honours conditions: %s", (conditionalWrites) => {
  let server: S3TestServer;
  const before = { ...process.env };
  beforeAll(async () => {
    server = await startS3Server({ conditionalWrites, own: true });
    Object.assign(process.env, server.environment);
  });
  afterAll(async () => {
    process.env = before;
    await server.close();
  });

  async function keysAt(url: string): Promise<string[]> {
    const store = await createObjectStore(openBackend(url));
    const keys: string[] = [];
    for await (const { key } of store.list("")) keys.push(key);
    await store.close();
    return keys;
  }

  it(
    "finds out what it can do, prints no secret, leaves nothing behind",
    async () => {
      const url = await server.createVolumeUrl();
      const result = await measure(url);
      const expected = conditionalWrites ? "ok" : "weak";
      expect(outcomes(result)).toEqual({ ...ALL_OK, "create-if-absent": expected, "compare-and-swap": expected });
      expectFigures(result);
      expect(await keysAt(url)).toEqual([]);
      const secret = server.environment.AWS_SECRET_ACCESS_KEY ?? "";
      expect(secret.length).toBeGreaterThan(0);
      const said = renderBackendText(result) + renderBackendHtml(result);
      expect(said.includes(secret)).toBe(false);
      expect(said.includes("podfs-bench-")).toBe(false);
    },
    SLOW_MS,
  );

  it(
    "leaves nothing behind when it is stopped in the middle of a large put",
    async () => {
      const url = await server.createVolumeUrl();
      const controller = new AbortController();
      const running = measureBackend({
        ...{ url, quick: true, signal: controller.signal },
        onProgress: ({ title }) => {
          if (title.includes("4 at once")) setTimeout(() => controller.abort(new Error("enough")), 20);
        },
      });
      await expect(running).rejects.toThrow("enough");
      expect(await keysAt(url)).toEqual([]);
    },
    SLOW_MS,
  );

  it(
    "says in one line why it cannot be used",
    async () => {
      const url = await server.createVolumeUrl();
      const denied = await server.createVolumeUrl({ denied: true });
      await expect(measure(denied)).rejects.toMatchObject({ kind: "access-denied" });
      await expect(measure(url.replace(/s3:\/\/[^/]+/, "s3://no-such-bucket"))).rejects.toMatchObject({
        kind: "no-such-backend",
        message: expect.stringMatching(/create the bucket, or correct the URL/),
      });
      const nobody = url.replace(/endpoint=[^&]+/, `endpoint=${encodeURIComponent("http://127.0.0.1:1")}`);
      await expect(measure(nobody)).rejects.toMatchObject({
        kind: "unavailable",
        message: expect.not.stringMatching(/\n/),
      });
    },
    SLOW_MS,
  );
});

describe("the latency histogram", () => {
  it("keeps percentiles to a few percent", () => {
    const histogram = new LatencyHistogram();
    expect(histogram.latencies()).toBeUndefined();
    for (let i = 1; i <= 1000; i++) histogram.add(i * 1000);
    const latencies = histogram.latencies()!;
    expect(latencies).toMatchObject({ count: 1000, minNs: 1000, maxNs: 1e6, meanNs: 500_500 });
    for (const percentile of [1, 50, 95, 99, 100]) {
      const exact = percentile * 10_000;
      expect(percentileNs(latencies, percentile)).toBeGreaterThanOrEqual(exact);
      expect(percentileNs(latencies, percentile)).toBeLessThanOrEqual(exact * 1.05);
    }
  });
});
