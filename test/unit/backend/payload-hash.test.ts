import { createHash, randomBytes } from "node:crypto";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createObjectStore } from "../../../src/backend/index.js";
import { selfSigned } from "../../support/self-signed.js";

const certificate = selfSigned();
let server: Server | undefined;
/** What the server was told the body hashes to, and what it does hash to. */
const seen: { announced: unknown; actual: string }[] = [];

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
    seen.push({ announced: request.headers["x-amz-content-sha256"], actual: hash.digest("hex") });
    response.writeHead(200, { ETag: '"1"' }).end();
  });
};

async function put(started: Server, protocol: string, ...bodies: Uint8Array[]): Promise<void> {
  server = started;
  await new Promise<void>((resolve) => started.listen(0, "127.0.0.1", resolve));
  const endpoint = `${protocol}://127.0.0.1:${(started.address() as AddressInfo).port}`;
  const place = { bucket: "b", prefix: "", endpoint, region: "us-east-1", pathStyle: true, idleTimeoutMs: 5000 };
  const store = await createObjectStore({ kind: "s3", ...place });
  for (const body of bodies) await store.put("key", body);
  await store.close();
}

test("over HTTP every body is signed, large ones too", async () => {
  const bodies = [randomBytes(10), randomBytes((9 << 20) + 7)];
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
