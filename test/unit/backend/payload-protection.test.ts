import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createObjectStore, type ObjectStore } from "../../../src/backend/index.js";
import { NO_CAPABILITIES } from "../../../src/backend/object-store.js";
import { parseS3Location } from "../../../src/backend/s3/s3-location.js";
import { selfSigned } from "../../support/self-signed.js";

const certificate = selfSigned();
let server: Server | undefined;
/** What the server was told the body hashes to, and what it does hash to. */
const seen: { announced: unknown; actual: string; checksum: unknown }[] = [];

beforeEach(() => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "somebody");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "something");
  seen.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  server?.close();
});

const receive: RequestListener = (request, response) => {
  const hash = createHash("sha256");
  request.on("data", (part) => hash.update(part));
  request.on("end", () => {
    const { "x-amz-content-sha256": announced, "x-amz-checksum-crc32": checksum } = request.headers;
    seen.push({ announced, actual: hash.digest("hex"), checksum });
    response.writeHead(200, { ETag: '"1"' }).end();
  });
};

type Refusal = (request: IncomingMessage, response: ServerResponse) => void;

/** As R2 once did. */
const answerNotImplemented: Refusal = (request, response) => {
  const why =
    "<Error><Code>NotImplemented</Code><Message>Header 'x-amz-checksum-crc32' not implemented</Message></Error>";
  request.resume().on("end", () => response.writeHead(501, { "Content-Type": "application/xml" }).end(why));
};

const hangUp: Refusal = (request) => request.socket.destroy();

function refusingChecksums(refuse: Refusal): RequestListener {
  return (request, response) => {
    const { "x-amz-checksum-crc32": checksum } = request.headers;
    if (checksum === undefined) return receive(request, response);
    seen.push({ announced: "", actual: "", checksum });
    refuse(request, response);
  };
}

function crc32Of(body: Uint8Array | undefined): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(body ?? Buffer.alloc(0)));
  return bytes.toString("base64");
}

async function open(started: Server, protocol: string, signBodies = false): Promise<ObjectStore> {
  server = started;
  await new Promise<void>((resolve) => started.listen(0, "127.0.0.1", resolve));
  const endpoint = `${protocol}://127.0.0.1:${(started.address() as AddressInfo).port}`;
  const config = parseS3Location(`s3://bucket?endpoint=${endpoint}&signBodies=${signBodies}`, {});
  return await createObjectStore({ ...config, idleTimeoutMs: 5000 });
}

async function put(started: Server, protocol: string, ...bodies: Uint8Array[]): Promise<void> {
  const store = await open(started, protocol);
  for (const body of bodies) await store.put("key", body);
  await store.close();
}

/** As servers do that compute the checksum themselves. @param tell what they make of it */
function telling(tell: (checksum: string) => string, refuseUnsigned?: Refusal): RequestListener {
  return (request, response) => {
    const { "x-amz-content-sha256": announced, "x-amz-checksum-crc32": checksum } = request.headers;
    if (typeof checksum === "string") response.setHeader("x-amz-checksum-crc32", tell(checksum));
    if (refuseUnsigned === undefined || announced !== "UNSIGNED-PAYLOAD") return receive(request, response);
    seen.push({ announced, actual: "", checksum });
    refuseUnsigned(request, response);
  };
}

const answerForbidden: Refusal = (request, response) => {
  const why = "<Error><Code>AccessDenied</Code><Message>The payload has to be signed</Message></Error>";
  request.resume().on("end", () => response.writeHead(403, { "Content-Type": "application/xml" }).end(why));
};

function signed(): readonly boolean[] {
  return seen.map(({ announced }) => announced !== "UNSIGNED-PAYLOAD");
}

test("over HTTP every body is signed, large ones too, where the server tells no checksum", async () => {
  const bodies = [randomBytes(10), randomBytes((9 << 20) + 7), randomBytes(2 << 20)];
  await put(createServer(receive), "http", ...bodies);
  expect(seen.map(({ announced }) => announced)).toEqual(seen.map(({ actual }) => actual));
  expect(seen[1]?.actual).toBe(
    createHash("sha256")
      .update(bodies[1] ?? "")
      .digest("hex"),
  );
});

test.skipIf(certificate === undefined)("over TLS large ones are not (needs openssl)", async () => {
  vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
  const bodies = [randomBytes(10), randomBytes(2 << 20)];
  await put(createHttpsServer({ ...certificate }, receive), "https", ...bodies);
  expect(seen[0]?.announced).toBe(seen[0]?.actual);
  expect(seen[1]?.announced).toBe("UNSIGNED-PAYLOAD");
  expect(seen[1]?.actual).toBe(
    createHash("sha256")
      .update(bodies[1] ?? "")
      .digest("hex"),
  );
});

test("the server is told a CRC-32 of large ones, and of no others", async () => {
  const bodies = [randomBytes(10), randomBytes((9 << 20) + 7)];
  await put(createServer(receive), "http", ...bodies);
  expect(seen.map(({ checksum }) => checksum)).toEqual([undefined, crc32Of(bodies[1])]);
});

test.each([
  ["says so", answerNotImplemented],
  ["hangs up", hangUp],
])("a server that refuses checksums and %s gets no second one", async (_, refuse) => {
  const bodies = [randomBytes(2 << 20), randomBytes(2 << 20)];
  await put(createServer(refusingChecksums(refuse)), "http", ...bodies);
  expect(seen.map(({ checksum }) => checksum)).toEqual([crc32Of(bodies[0]), undefined, undefined]);
  expect(seen.slice(1).map(({ announced }) => announced)).toEqual(
    bodies.map((body) => createHash("sha256").update(body).digest("hex")),
  );
});

test("a server that has taken a checksum is not asked twice when it fails", async () => {
  let isFailing = false;
  const listener: RequestListener = (request, response) => {
    if (!isFailing) return receive(request, response);
    seen.push({ announced: "", actual: "", checksum: request.headers["x-amz-checksum-crc32"] });
    request.resume().on("end", () => response.writeHead(500).end());
  };
  const body = randomBytes(2 << 20);
  const store = await open(createServer(listener), "http");
  await store.put("key", body);
  isFailing = true;
  await expect(store.put("key", body)).rejects.toMatchObject({ kind: "unavailable" });
  await store.close();
  expect(seen.map(({ checksum }) => checksum)).toEqual([crc32Of(body), crc32Of(body)]);
});

test("over HTTP large ones are not signed any more once the server has told the checksum of one", async () => {
  const bodies = [randomBytes(2 << 20), randomBytes(2 << 20), randomBytes(10), randomBytes(2 << 20)];
  await put(createServer(telling((checksum) => checksum)), "http", ...bodies);
  expect(signed()).toEqual([true, false, true, false]);
  expect(seen.map(({ checksum }) => checksum)).toEqual(
    bodies.map((body) => (body.length > 10 ? crc32Of(body) : undefined)),
  );
});

test("what a probe has seen holds for the first body of another store", async () => {
  const store = await open(createServer(telling((checksum) => checksum)), "http");
  const known = await store.probe();
  expect(known).toMatchObject({ checksBodies: true });
  await store.close();
  seen.length = 0;
  const other = await createObjectStore({ ...parseS3Location(store.url, {}), idleTimeoutMs: 5000 }, known);
  await Promise.all([randomBytes(2 << 20), randomBytes(2 << 20)].map((body, i) => other.put(`key${i}`, body)));
  await other.close();
  expect(signed()).toEqual([false, false]);
});

test.each([
  ["tells no checksum", receive],
  ["refuses what is not signed", telling((checksum) => checksum, answerForbidden)],
])("a server that %s, unlike what the probe saw, gets the body again, signed", async (_, listener) => {
  const { url } = await open(createServer(listener), "http");
  const known = { ...NO_CAPABILITIES, checksBodies: true };
  const store = await createObjectStore({ ...parseS3Location(url, {}), idleTimeoutMs: 5000 }, known);
  const bodies = [randomBytes(2 << 20), randomBytes(2 << 20)];
  for (const body of bodies) await store.put("key", body);
  await store.close();
  expect(signed()).toEqual([false, true, true]);
  expect(seen.map(({ checksum }) => checksum)).toEqual([bodies[0], bodies[0], bodies[1]].map(crc32Of));
});

test.each([
  ["tells another checksum", telling(() => crc32Of(undefined))],
  ["tells none", receive],
  ["refuses checksums", refusingChecksums(answerNotImplemented)],
])("a probe sees that a server that %s checks nothing", async (_, listener) => {
  const store = await open(createServer(listener), "http");
  expect(await store.probe()).toMatchObject({ checksBodies: false });
  await store.close();
});

test("a probe sends no checksum where everything is signed", async () => {
  const store = await open(createServer(telling((checksum) => checksum)), "http", true);
  expect(await store.probe()).toMatchObject({ checksBodies: false });
  await store.close();
  expect(seen.filter(({ checksum }) => checksum !== undefined)).toEqual([]);
});

async function expectAllSigned(started: Server, protocol: string): Promise<void> {
  const store = await open(started, protocol, true);
  for (let i = 0; i < 3; i++) await store.put("key", randomBytes(2 << 20));
  await store.close();
  expect(seen.map(({ announced }) => announced)).toEqual(seen.map(({ actual }) => actual));
  expect(seen).toHaveLength(3);
}

test("whoever wants bodies signed has all of them signed", () =>
  expectAllSigned(createServer(telling((checksum) => checksum)), "http"));

test.skipIf(certificate === undefined)("the same over TLS (needs openssl)", async () => {
  vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
  await expectAllSigned(createHttpsServer({ ...certificate }, receive), "https");
});

test("a server that tells another checksum checks nothing: bodies stay signed", async () => {
  const bodies = [randomBytes(2 << 20), randomBytes(2 << 20)];
  await put(createServer(telling(() => crc32Of(undefined))), "http", ...bodies);
  expect(signed()).toEqual([true, true]);
});

test.each([
  ["says so", answerForbidden],
  ["hangs up", hangUp],
])("a server that wants bodies signed and %s gets no second one that is not", async (_, refuse) => {
  const bodies = [randomBytes(2 << 20), randomBytes(2 << 20), randomBytes(2 << 20)];
  await put(createServer(telling((checksum) => checksum, refuse)), "http", ...bodies);
  expect(signed()).toEqual([true, false, true, true]);
  expect(seen.map(({ checksum }) => checksum)).toEqual([bodies[0], bodies[1], bodies[1], bodies[2]].map(crc32Of));
});

test("a server that has taken an unsigned body is not asked twice when it fails", async () => {
  let isFailing = false;
  const listener: RequestListener = (request, response) =>
    telling((checksum) => checksum, isFailing ? answerForbidden : undefined)(request, response);
  const body = randomBytes(2 << 20);
  const store = await open(createServer(listener), "http");
  await store.put("key", body);
  await store.put("key", body);
  isFailing = true;
  await expect(store.put("key", body)).rejects.toMatchObject({ kind: "access-denied" });
  await store.close();
  expect(signed()).toEqual([true, false, false]);
});

test.each([
  ["none", undefined],
  ["another", crc32Of(undefined)],
])("a body that was not signed is sent again, signed, when the answer has %s checksum", async (_, told) => {
  const answers = [crc32Of, crc32Of, () => told, () => told, crc32Of, crc32Of];
  const bodies = Array.from({ length: 5 }, () => randomBytes(2 << 20));
  const listener: RequestListener = (request, response) => {
    const { "x-amz-checksum-crc32": checksum } = request.headers;
    const body = bodies.find((each) => crc32Of(each) === checksum);
    const answer = answers[seen.length]?.(body);
    if (answer !== undefined) response.setHeader("x-amz-checksum-crc32", answer);
    receive(request, response);
  };
  await put(createServer(listener), "http", ...bodies);
  expect(signed()).toEqual([true, false, false, true, true, false]);
  expect(seen.map(({ checksum }) => checksum)).toEqual([0, 1, 2, 2, 3, 4].map((index) => crc32Of(bodies[index])));
});
