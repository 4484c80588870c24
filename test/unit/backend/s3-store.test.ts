import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type BackendError,
  createObjectStore,
  type GetOptions,
  isBackendError,
  type ObjectStore,
  openBackend,
  type S3BackendConfig,
} from "../../../src/backend/index.js";
import { NO_CAPABILITIES } from "../../../src/backend/object-store.js";
import { expectKind } from "../../contract/object-store-suite.js";
import { type S3TestServer, startS3Server } from "../../support/s3-server.js";

const bytes = new TextEncoder().encode("content");

function s3Config(url: string): S3BackendConfig {
  const config = openBackend(url, { env: {} });
  if (config.kind !== "s3") throw new Error(`${url} is not S3`);
  return config;
}

async function errorOf(promise: Promise<unknown>): Promise<BackendError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isBackendError(error)) throw new Error(`expected a BackendError, got ${String(error)}`);
  return error;
}

describe("S3Store", () => {
  let server: S3TestServer;
  let store: ObjectStore;
  let config: S3BackendConfig;
  const environment = { ...process.env };

  beforeAll(async () => {
    server = await startS3Server({ own: true });
  });

  afterAll(() => server.close());

  beforeEach(async () => {
    Object.assign(process.env, server.environment);
    config = s3Config(await server.createVolumeUrl());
    store = await createObjectStore(config);
  });

  afterEach(async () => {
    process.env = { ...environment };
    server.trouble = undefined;
    await store.close();
  });

  it("calls wrong credentials access-denied, says which, and repeats none of them", async () => {
    process.env.AWS_SECRET_ACCESS_KEY = "hunter2-secret";
    process.env.AWS_ACCESS_KEY_ID = "NOBODY";
    const wrongKey = await errorOf((await createObjectStore(config)).put("a", bytes));
    expect(wrongKey).toMatchObject({ kind: "access-denied", retryable: false });
    expect(wrongKey.message).toMatch(/AWS_ACCESS_KEY_ID/);
    // s3rver does not verify signatures.
    server.trouble = () => ({ status: 403, code: "SignatureDoesNotMatch" });
    const wrongSecret = await errorOf((await createObjectStore(config)).get("a"));
    expect(wrongSecret.kind).toBe("access-denied");
    expect(wrongSecret.message).toMatch(/AWS_SECRET_ACCESS_KEY/);
    for (const error of [wrongSecret, wrongKey]) {
      expect(error.message).not.toContain("\n");
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(/hunter2|Signature=|StringToSign/);
    }
  });

  it("calls missing credentials access-denied, and says what to set", async () => {
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_SECRET_ACCESS_KEY;
    process.env.HOME = "/nonexistent";
    const error = await errorOf((await createObjectStore(config)).get("a"));
    expect(error).toMatchObject({ kind: "access-denied", retryable: false });
    expect(error.message).toMatch(/AWS_ACCESS_KEY_ID/);
  });

  it("calls a bucket that is not there no-such-backend", async () => {
    const elsewhere = await createObjectStore({ ...config, bucket: "no-such-bucket" });
    const error = await errorOf(elsewhere.get("a"));
    expect(error).toMatchObject({ kind: "no-such-backend", retryable: false });
    expect(error.message).toMatch(/s3:\/\/no-such-bucket.*create the bucket/);
    await expectKind(elsewhere.put("a", bytes), "no-such-backend");
    await expectKind(elsewhere.listPage(""), "no-such-backend");
  });

  it("calls nobody at the endpoint, and a name that does not resolve, unavailable", async () => {
    const nobody = await createObjectStore({ ...config, endpoint: "http://127.0.0.1:9" });
    expect(await errorOf(nobody.get("a"))).toMatchObject({ kind: "unavailable", retryable: true });
    const nowhere = await createObjectStore({ ...config, endpoint: "http://podfs.invalid" });
    expect(await errorOf(nowhere.get("a"))).toMatchObject({ kind: "unavailable", retryable: true });
  });

  it.each([
    [500, "InternalError", "unavailable", true],
    [502, "BadGateway", "unavailable", true],
    [503, "ServiceUnavailable", "unavailable", true],
    [503, "SlowDown", "throttled", true],
    [429, "WhateverThisIs", "throttled", true],
    [409, "ConditionalRequestConflict", "unavailable", true],
    [507, "XMinioStorageFull", "no-space", false],
    [403, "QuotaExceeded", "no-space", false],
    [400, "ExpiredToken", "access-denied", true],
    [403, "RequestTimeTooSkewed", "access-denied", false],
    [301, "PermanentRedirect", "no-such-backend", false],
    [400, "SomethingNew", "bad-response", false],
  ])("takes %i %s for %s, worth another attempt: %s", async (status, code, kind, retryable) => {
    server.trouble = () => ({ status, code });
    expect(await errorOf(store.put("a", bytes))).toMatchObject({ kind, retryable });
    expect(await errorOf(store.listPage(""))).toMatchObject({ kind, retryable });
  });

  it("does one request per call, and none of its own accord", async () => {
    server.requests.length = 0;
    server.trouble = () => ({ status: 500, code: "InternalError" });
    await errorOf(store.get("a"));
    await errorOf(store.put("a", bytes));
    expect(server.requests.map(({ method }) => method)).toEqual(["GET", "PUT"]);
  });

  it("calls a connection that breaks unavailable", async () => {
    server.trouble = () => "reset";
    expect(await errorOf(store.get("a"))).toMatchObject({ kind: "unavailable", retryable: true });
    expect(await errorOf(store.put("a", bytes))).toMatchObject({ kind: "unavailable", retryable: true });
  });

  it("gives up on a server that falls silent, and on the caller's word", async () => {
    server.trouble = () => "hang";
    const impatient = await createObjectStore({ ...config, idleTimeoutMs: 200 });
    expect(await errorOf(impatient.get("a"))).toMatchObject({ kind: "unavailable", retryable: true });
    expect(await errorOf(impatient.put("a", bytes))).toMatchObject({ kind: "unavailable", retryable: true });
    const controller = new AbortController();
    const waiting = errorOf(store.get("a", { signal: controller.signal }));
    setTimeout(() => controller.abort(), 50);
    expect((await waiting).kind).toBe("aborted");
  });

  it("stops sending a file when the caller aborts, and the object does not appear", async () => {
    const scratch = await mkdtemp(join(tmpdir(), "podfs-s3-"));
    const path = join(scratch, "big");
    await writeFile(path, new Uint8Array(8_000_000));
    server.trouble = async ({ method }) => (method === "PUT" ? "hang" : undefined);
    const controller = new AbortController();
    const waiting = errorOf(store.put("big", { path, sizeBytes: 8_000_000 }, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 50);
    expect((await waiting).kind).toBe("aborted");
    server.trouble = undefined;
    expect(await store.head("big")).toBeUndefined();
    await rm(scratch, { recursive: true });
  });

  it("finds conditions refused by a server that does not know them, and then checks them itself", async () => {
    const plain = await startS3Server({ own: true, conditionalWrites: false });
    const checked = await createObjectStore(s3Config(await plain.createVolumeUrl()));
    expect(await checked.probe()).toEqual(NO_CAPABILITIES);
    await checked.put("a", bytes, { ifAbsent: true });
    await expectKind(checked.put("a", bytes, { ifAbsent: true }), "precondition-failed");
    await checked.close();
    await plain.close();
  });
});

describe("S3Store and a server that breaks off", () => {
  let server: Server;
  let answer: (path: string) => { head: string; body: string; stayOpen?: boolean };

  beforeAll(async () => {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: "x", AWS_SECRET_ACCESS_KEY: "x" });
    server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (data) => {
        const { head, body, stayOpen } = answer(data.toString("latin1").split(" ")[1] ?? "");
        socket.write(`${head}\r\nConnection: close\r\n\r\n${body}`);
        if (!stayOpen) socket.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  afterAll(() => new Promise((resolve) => server.close(resolve)));

  function get(options: GetOptions = {}, config: Partial<S3BackendConfig> = {}): Promise<BackendError> {
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return createObjectStore({ ...s3Config(`s3://bucket/p?endpoint=${endpoint}`), ...config }).then((store) =>
      errorOf(store.get("a", options)),
    );
  }

  it("calls a body that is cut off unavailable", async () => {
    answer = () => ({ head: 'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 100', body: "only this" });
    expect(await get()).toMatchObject({ kind: "unavailable", retryable: true });
  });

  it("gives up on a body that stops in the middle, and on the caller's word", async () => {
    answer = () => ({ head: 'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 100', body: "and then", stayOpen: true });
    expect(await get({}, { idleTimeoutMs: 200 })).toMatchObject({ kind: "unavailable", retryable: true });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    expect((await get({ signal: controller.signal })).kind).toBe("aborted");
  });

  it("calls another range than it asked for a bad response", async () => {
    answer = () => ({
      head: 'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5',
      body: "01234",
    });
    expect(await get({ range: { offset: 2, length: 5 } })).toMatchObject({ kind: "bad-response", retryable: false });
    answer = () => ({ head: 'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 10', body: "0123456789" });
    expect(await get({ range: { offset: 2, length: 5 } })).toMatchObject({ kind: "bad-response", retryable: false });
  });

  it("calls what is not S3 at all a bad response", async () => {
    answer = () => ({ head: "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html", body: "<html><b>Nope" });
    expect((await get()).kind).toBe("bad-response");
  });
});
