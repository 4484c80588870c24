import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, Server as TlsServer } from "node:tls";
import { S3Client } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createObjectStore, type ObjectStore, type S3BackendConfig } from "../../../src/backend/index.js";
import { parseS3Location } from "../../../src/backend/s3/s3-location.js";
import { systemClock } from "../../../src/base/index.js";
import { startS3Server } from "../../support/s3-server.js";
import { selfSigned } from "../../support/self-signed.js";

const MIB = 1 << 20;
const BYTES = randomBytes(MIB);
const RANGE = { offset: 0, length: MIB };

/** What a server does with the n-th request it gets, over all connections. */
type Answer = (socket: Socket, request: number, head: string) => unknown;

let stores: ObjectStore[] = [];
let servers: Server[] = [];
let sockets: Socket[] = [];

beforeEach(() => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "somebody");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "something");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const store of stores) await store.close();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  stores = [];
  servers = [];
  sockets = [];
});

async function storeAt(endpoint: string, more: Partial<S3BackendConfig> = {}): Promise<ObjectStore> {
  const config = parseS3Location(`s3://bucket?endpoint=${endpoint}`, {});
  const store = await createObjectStore({ ...config, idleTimeoutMs: 60_000, ...more });
  stores.push(store);
  return store;
}

async function listen(server: Server, answer: Answer): Promise<number> {
  let requests = 0;
  server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (!text.endsWith("\r\n\r\n")) return;
      const head = text;
      text = "";
      answer(socket, requests++, head);
    });
  });
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A store whose server answers in this way. */
async function storeWith(answer: Answer): Promise<ObjectStore> {
  return await storeAt(`http://127.0.0.1:${await listen(createServer(), answer)}`);
}

function headOf(length: number, ...more: string[]): string {
  const range = `Content-Range: bytes 0-${length - 1}/${4 * MIB}`;
  return ["HTTP/1.1 206 Partial Content", 'ETag: "1"', `Content-Length: ${length}`, range, ...more, "", ""].join(
    "\r\n",
  );
}

function sends(...parts: (string | Uint8Array)[]): (socket: Socket) => void {
  return (socket) => {
    for (const part of parts) socket.write(part);
  };
}

async function get(store: ObjectStore, into = Buffer.alloc(MIB)): Promise<Uint8Array> {
  const { body } = await store.get("key", { range: RANGE, into });
  return body;
}

test("a real server's range comes into the memory that was given, again and again, and several at once", async () => {
  const server = await startS3Server({ own: true });
  try {
    for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
    const url = new URL(await server.createVolumeUrl());
    const prefix = "a prefix (with) odd 'characters'";
    const store = await storeAt(server.endpoint, { bucket: url.host, prefix });
    const object = randomBytes(5 * MIB);
    await store.put("key", object);
    const starts = [0, MIB, 3 * MIB, 17, 4 * MIB];
    for (let round = 0; round < 2; round++) {
      const found = await Promise.all(
        starts.map((offset) => store.get("key", { range: { offset, length: MIB }, into: Buffer.alloc(2 * MIB) })),
      );
      starts.forEach((offset, i) => {
        expect(object.subarray(offset, offset + MIB).equals(found[i]?.body ?? Buffer.alloc(0))).toBe(true);
      });
    }
    const into = Buffer.alloc(6 * MIB);
    const { body } = await store.get("key", { into });
    expect(body.buffer).toBe(into.buffer);
    expect(object.equals(body)).toBe(true);
    await expect(store.get("absent", { range: RANGE, into })).rejects.toMatchObject({ kind: "not-found" });
    await expect(store.get("key", { range: { offset: 9 * MIB, length: 1 }, into })).rejects.toMatchObject({
      kind: "bad-response",
    });
  } finally {
    await server.close();
  }
});

test("an answer in many pieces, behind a provisional one, is received", async () => {
  const text = `HTTP/1.1 100 Continue\r\n\r\n${headOf(MIB, "X-Twice: a", "x-twice: b")}`;
  const store = await storeWith(async (socket) => {
    for (const character of text) {
      socket.write(character, "latin1");
      await new Promise(setImmediate);
    }
    socket.write(BYTES.subarray(0, 5));
    await new Promise((resolve) => setTimeout(resolve, 10));
    socket.write(BYTES.subarray(5));
  });
  expect(BYTES.equals(await get(store))).toBe(true);
});

test("an answer of unknown length is left to the SDK's client", async () => {
  const head = headOf(MIB).replace(`Content-Length: ${MIB}`, "Transfer-Encoding: chunked");
  const store = await storeWith(sends(head, `${MIB.toString(16)}\r\n`, BYTES, "\r\n0\r\n\r\n"));
  // Without a length our store does not take it from that client either.
  await expect(get(store)).rejects.toMatchObject({ kind: "bad-response", message: expect.stringContaining("length") });
});

test("connections that the server closes in between, saying so or not, are no error", async () => {
  const polite = await storeWith(sends(headOf(MIB, "Connection: close"), BYTES));
  const silent = await storeWith((socket, request) => {
    // The second request meets a connection that is just being closed.
    if (request === 1) socket.destroy();
    else sends(headOf(MIB), BYTES)(socket);
  });
  for (const store of [polite, silent]) {
    for (let i = 0; i < 3; i++) expect(BYTES.equals(await get(store))).toBe(true);
  }
});

test("a body that is cut short, or more than was announced, is unavailable and leaves nothing behind", async () => {
  const cut = await storeWith((socket, request) => {
    socket.write(headOf(MIB));
    if (request > 0) socket.write(BYTES);
    else socket.end(BYTES.subarray(0, 1000));
  });
  await expect(get(cut)).rejects.toMatchObject({ kind: "unavailable", retryable: true });
  expect(BYTES.equals(await get(cut))).toBe(true);

  const closed: Promise<unknown>[] = [];
  const more = await storeWith((socket) => {
    closed.push(new Promise((resolve) => socket.once("close", resolve)));
    sends(headOf(MIB), BYTES, "HTTP/1.1 500 not asked for\r\n\r\n")(socket);
  });
  for (let i = 0; i < 3; i++) {
    expect(BYTES.equals(await get(more))).toBe(true);
    // A request that was sent before the surplus came would get that for its answer.
    await closed[i];
  }
});

function refusal(status: string, code: string, message: string): string {
  const xml = `<?xml version='1.0'?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  return `HTTP/1.1 ${status}\r\nContent-Length: ${xml.length}\r\n\r\n${xml}`;
}

test("what the server says about an error is understood", async () => {
  const store = await storeWith(sends(refusal("503 Slow Down", "SlowDown", "later")));
  await expect(get(store)).rejects.toMatchObject({ kind: "throttled", message: expect.stringContaining("later") });
});

describe("a request that the SDK has made before", () => {
  test("is signed again for other keys and ranges, for a minute", async () => {
    const made = vi.spyOn(S3Client.prototype, "send");
    const now = vi.spyOn(systemClock, "monotonicMs").mockReturnValue(1_000_000);
    onTestFinished(() => {
      made.mockRestore();
      now.mockRestore();
    });
    const heads: string[] = [];
    const store = await storeWith((socket, _, head) => {
      heads.push(head);
      sends(headOf(MIB), BYTES)(socket);
    });
    for (const key of ["pack/1", "pack/22", "3"]) {
      const { body } = await store.get(key, { range: RANGE, into: Buffer.alloc(MIB) });
      expect(BYTES.equals(body)).toBe(true);
    }
    expect(made).toHaveBeenCalledTimes(1);
    expect(heads.map((head) => head.slice(0, head.indexOf(" HTTP")))).toEqual([
      "GET /bucket/pack/1?x-id=GetObject",
      "GET /bucket/pack/22?x-id=GetObject",
      "GET /bucket/3?x-id=GetObject",
    ]);
    for (const header of ["Signature=", "amz-sdk-invocation-id: "]) {
      const values = heads.map((head) => head.slice(head.indexOf(header)).split("\r\n", 1)[0]);
      expect(new Set(values).size).toBe(3);
    }
    now.mockReturnValue(1_060_000);
    await get(store);
    expect(made).toHaveBeenCalledTimes(2);
  });

  test("can be made before anything is asked for", async () => {
    const made = vi.spyOn(S3Client.prototype, "send");
    onTestFinished(() => made.mockRestore());
    let requests = 0;
    const store = await storeWith((socket) => {
      requests++;
      sends(headOf(MIB), BYTES)(socket);
    });
    await store.prepareGets?.();
    expect([made.mock.calls.length, requests]).toEqual([1, 0]);
    expect(BYTES.equals(await get(store))).toBe(true);
    expect([made.mock.calls.length, requests]).toEqual([1, 1]);
  });

  test("is made anew when it is refused, and only what is refused then is an error", async () => {
    const store = await storeWith((socket, request) => {
      if (request === 1 || request >= 4) socket.write(refusal("400 Bad Request", "ExpiredToken", "too old"));
      else sends(headOf(MIB), BYTES)(socket);
    });
    for (let i = 0; i < 3; i++) expect(BYTES.equals(await get(store))).toBe(true);
    await expect(get(store)).rejects.toMatchObject({ kind: "access-denied", retryable: true });
  });

  test("is left to the SDK with its own signal when the answer needs the SDK's client", async () => {
    const store = await storeWith((socket, request) => {
      const head = request === 0 ? headOf(MIB) : headOf(MIB, "Connection: close").replace("HTTP/1.1", "HTTP/1.0");
      socket.write(head);
      if (request === 0) socket.write(BYTES);
      else socket.end(BYTES);
    });
    const first = new AbortController();
    await store.get("key", { range: RANGE, into: Buffer.alloc(MIB), signal: first.signal });
    first.abort();
    const { signal } = new AbortController();
    const { body } = await store.get("other", { range: RANGE, into: Buffer.alloc(MIB), signal });
    expect(BYTES.equals(body)).toBe(true);
  });
});

test("an abort ends it, and nothing is written to the memory from then on", async () => {
  let started = (): void => {};
  const underWay = new Promise<void>((resolve) => {
    started = resolve;
  });
  const store = await storeWith((socket) => {
    socket.write(headOf(MIB));
    socket.write(BYTES.subarray(0, MIB / 2), started);
    setTimeout(() => socket.write(BYTES.subarray(MIB / 2)), 50);
  });
  const abort = new AbortController();
  const into = Buffer.alloc(MIB);
  const getting = store.get("key", { range: RANGE, into, signal: abort.signal });
  await underWay;
  abort.abort(new Error("enough"));
  await expect(getting).rejects.toMatchObject({ kind: "aborted" });
  into.fill(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(into.equals(Buffer.alloc(MIB))).toBe(true);
});

test("a server that says nothing is given up on", async () => {
  const port = await listen(createServer(), () => {});
  const store = await storeAt(`http://127.0.0.1:${port}`, { idleTimeoutMs: 100 });
  await expect(get(store)).rejects.toMatchObject({ kind: "unavailable" });
});

const certificate = selfSigned();

test.skipIf(certificate === undefined)(
  "over TLS it is the same, and a certificate nobody vouches for is refused (needs openssl)",
  async () => {
    const port = await listen(createTlsServer({ ...certificate }), sends(headOf(MIB), BYTES));
    const store = await storeAt(`https://127.0.0.1:${port}`);
    const refused = { kind: "bad-response", message: expect.stringMatching(/self.signed/i) };
    await expect(get(store)).rejects.toMatchObject(refused);
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    for (let i = 0; i < 2; i++) expect(BYTES.equals(await get(store))).toBe(true);
  },
);
