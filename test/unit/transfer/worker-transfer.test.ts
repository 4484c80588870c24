import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { NO_CAPABILITIES } from "../../../src/backend/object-store.js";
import { parseS3Location } from "../../../src/backend/s3/s3-location.js";
import type { ChunkHash, PackId } from "../../../src/base/index.js";
import { CHUNK_SIZE_BYTES, hexHashOf, loadCompressor, packObjectKey, verifyPack } from "../../../src/format/index.js";
import type { ChunkTarget, UploadedPack } from "../../../src/transfer/index.js";
import { startTransfer, type TransferUnderTest } from "./start-transfer.js";

const CHUNK = CHUNK_SIZE_BYTES;
let under: TransferUnderTest;
beforeEach(async () => {
  under = await startTransfer();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await under.stop();
});

function fileWith(name: string, bytes: Uint8Array): string {
  const path = join(under.directory, name);
  writeFileSync(path, bytes);
  return path;
}

/** The volume knows no chunk. */
const nothing = (): boolean => false;

/** Uploads a whole file as one pack. */
async function upload(path: string): Promise<UploadedPack & { readonly pack: NonNullable<UploadedPack["pack"]> }> {
  const { length } = readFileSync(path);
  const sources = Array.from({ length: Math.ceil(length / CHUNK) }, (_, i) => {
    return { path, offset: i * CHUNK, length: Math.min(CHUNK, length - i * CHUNK) };
  });
  const uploaded = await under.transfer.uploadPack(sources, nothing, "normal");
  if (uploaded.pack === undefined) throw new Error("nothing was uploaded");
  return { ...uploaded, pack: uploaded.pack };
}

function targetsOf(uploaded: UploadedPack, path: string): ChunkTarget[] {
  return uploaded.chunks.flatMap(({ hash, stored, rawLength }, i) =>
    hash === null || stored === null ? [] : [{ hash, rawLength, path, fileOffset: i * CHUNK, ...stored }],
  );
}

async function overwrite(key: string, change: (bytes: Buffer) => Uint8Array): Promise<void> {
  const { body } = await under.store.get(key);
  await under.store.delete(key);
  await under.store.put(key, change(Buffer.from(body)));
}

test("threads do not find out anew what is known of the backend", async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "somebody");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "something");
  const hashes: unknown[] = [];
  const server = createHttpServer((request, response) => {
    const { "x-amz-content-sha256": hash, "x-amz-checksum-crc32": checksum } = request.headers;
    hashes.push(hash);
    request.resume().on("end", () => response.writeHead(200, { ETag: "1", "x-amz-checksum-crc32": checksum }).end());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const backend = { ...parseS3Location(`s3://bucket?endpoint=http://127.0.0.1:${port}`, {}), idleTimeoutMs: 10_000 };
  await under.stop();
  under = await startTransfer({ backend, capabilities: { ...NO_CAPABILITIES, checksBodies: true } });
  await Promise.all(["a", "b", "c"].map((name) => upload(fileWith(name, randomBytes(2 * CHUNK)))));
  expect(hashes).toEqual(["UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD"]);
});

test("what is uploaded is a valid pack, stores equal chunks once and holes not at all, and comes back", async () => {
  const noise = randomBytes(CHUNK);
  const text = Buffer.alloc(CHUNK, "all work and no play ");
  const bytes = Buffer.concat([noise, text, Buffer.alloc(CHUNK), noise, randomBytes(77)]);
  const uploaded = await upload(fileWith("a", bytes));
  const { body } = await under.store.get(packObjectKey(uploaded.pack.id));
  expect(body.length).toBe(uploaded.pack.sizeBytes);
  await loadCompressor();
  expect(verifyPack(body, uploaded.pack.id)).toHaveLength(3);
  expect(uploaded.chunks[3]?.stored).toEqual(uploaded.chunks[0]?.stored);
  expect(uploaded.chunks[2]?.stored).toBeNull();

  const copy = join(under.directory, "copy");
  const outcomes = await under.transfer.fetchChunks(uploaded.pack.id, targetsOf(uploaded, copy), "urgent");
  expect(outcomes).toEqual([undefined, undefined, undefined, undefined]);
  expect(readFileSync(copy).equals(bytes)).toBe(true);
  expect(under.transfer.counters).toMatchObject({ puts: 1, putBytes: body.length, gets: 1, errors: 0 });
});

test("what the volume has is not packed again, and what remains moves together and comes back", async () => {
  const chunks = [
    randomBytes(CHUNK),
    Buffer.alloc(CHUNK, "abc"),
    randomBytes(CHUNK),
    randomBytes(CHUNK),
    randomBytes(9),
  ];
  const path = fileWith("a", Buffer.concat(chunks));
  const sources = chunks.map(({ length }, i) => ({ path, offset: i * CHUNK, length }));
  const [first = "", , third = ""] = chunks.map(hexHashOf);
  const asked: string[] = [];
  const isKnown = (hash: string): boolean => {
    asked.push(hash);
    return hash === first || hash === third;
  };
  const uploaded = await under.transfer.uploadPack([...sources, ...sources], isKnown, "normal");
  expect(asked).toEqual(chunks.map(hexHashOf));
  expect(uploaded.chunks.map(({ hash }) => hash)).toEqual([...asked, ...asked]);
  expect(uploaded.chunks.map(({ stored }) => stored === null)).toEqual([1, 0, 1, 0, 0, 1, 0, 1, 0, 0].map(Boolean));
  const id = uploaded.pack?.id ?? ("" as PackId);
  const { body } = await under.store.get(packObjectKey(id));
  await loadCompressor();
  expect(verifyPack(body, id)).toHaveLength(3);
  const copy = join(under.directory, "copy");
  await under.transfer.fetchChunks(id, targetsOf(uploaded, copy).slice(0, 3), "urgent");
  const copied = readFileSync(copy);
  for (const i of [1, 3, 4]) expect(copied.subarray(i * CHUNK).indexOf(chunks[i] ?? "")).toBe(0);
});

test("only holes, and what the volume has, make no object", async () => {
  const path = fileWith("zeros", Buffer.concat([Buffer.alloc(CHUNK), Buffer.alloc(100, "x")]));
  const sources = [0, CHUNK].map((offset) => ({ path, offset, length: offset === 0 ? CHUNK : 100 }));
  const uploaded = await under.transfer.uploadPack(sources, () => true, "normal");
  expect(uploaded.pack).toBeUndefined();
  expect(uploaded.chunks).toEqual([
    { hash: null, stored: null, rawLength: CHUNK },
    { hash: hexHashOf(Buffer.alloc(100, "x")), stored: null, rawLength: 100 },
  ]);
  expect(under.transfer.counters.puts).toBe(0);
});

test("who cannot say what is known gets the reason back, and nothing is uploaded", async () => {
  const path = fileWith("a", randomBytes(100));
  const isKnown = (): boolean => {
    throw new Error("the metadata is closed");
  };
  const uploading = under.transfer.uploadPack([{ path, offset: 0, length: 100 }], isKnown, "normal");
  await expect(uploading).rejects.toThrow("the metadata is closed");
  expect(under.transfer.counters.puts).toBe(0);
});

test("a file that shrank is packed as far as it goes", async () => {
  const path = fileWith("a", randomBytes(5000));
  truncateSync(path, 3000);
  const uploaded = await under.transfer.uploadPack([{ path, offset: 0, length: 5000 }], nothing, "normal");
  expect(uploaded.chunks[0]?.rawLength).toBe(3000);
});

test("packs and fetches that follow each other through the same memory do not mix", async () => {
  const contents = Array.from({ length: 24 }, (_, i) => randomBytes(CHUNK + 1000 * i));
  const uploads = await Promise.all(contents.map((bytes, i) => upload(fileWith(`f${i}`, bytes))));
  const copies = contents.map((_, i) => join(under.directory, `copy${i}`));
  await Promise.all(
    uploads.map(({ pack, chunks }, i) =>
      under.transfer.fetchChunks(pack.id, targetsOf({ pack, chunks }, copies[i] ?? ""), "normal"),
    ),
  );
  contents.forEach((bytes, i) => {
    expect(readFileSync(copies[i] ?? "").equals(bytes)).toBe(true);
  });
});

test("a source that is gone is a local error worth another try", async () => {
  const gone = { path: join(under.directory, "gone"), offset: 0, length: 10 };
  await expect(under.transfer.uploadPack([gone], nothing, "normal")).rejects.toMatchObject({
    kind: "local-file",
    retryable: true,
  });
});

test("a damaged chunk is corrupt and names its object, its neighbours arrive, nothing of it is written", async () => {
  const bytes = randomBytes(3 * CHUNK);
  const uploaded = await upload(fileWith("a", bytes));
  const key = packObjectKey(uploaded.pack.id);
  await overwrite(key, (body) => {
    body[CHUNK + 500] = (body[CHUNK + 500] ?? 0) ^ 1;
    return body;
  });
  const copy = join(under.directory, "copy");
  const outcomes = await under.transfer.fetchChunks(uploaded.pack.id, targetsOf(uploaded, copy), "urgent");
  expect(outcomes[0]).toBeUndefined();
  expect(outcomes[1]).toMatchObject({ kind: "corrupt", message: expect.stringContaining(key) });
  expect(outcomes[2]).toBeUndefined();
  const copied = readFileSync(copy);
  expect(copied.subarray(0, CHUNK).equals(bytes.subarray(0, CHUNK))).toBe(true);
  expect(copied.subarray(CHUNK, 2 * CHUNK).equals(Buffer.alloc(CHUNK))).toBe(true);
});

test("a missing pack and one cut short are told apart, by name", async () => {
  const uploaded = await upload(fileWith("a", randomBytes(2 * CHUNK)));
  const key = packObjectKey(uploaded.pack.id);
  const targets = targetsOf(uploaded, join(under.directory, "copy"));
  await overwrite(key, (body) => body.subarray(0, 1000));
  expect(await under.transfer.fetchChunks(uploaded.pack.id, targets, "urgent")).toMatchObject([
    { kind: "corrupt", message: expect.stringContaining(key) },
    { kind: "corrupt" },
  ]);
  await under.store.delete(key);
  expect(await under.transfer.fetchChunks(uploaded.pack.id, targets, "urgent")).toMatchObject([
    { kind: "missing", message: expect.stringContaining(key) },
    { kind: "missing" },
  ]);
});

test("a window of a pack comes into its mirror with one request, and chunks come out of that with none", async () => {
  const bytes = Buffer.concat([randomBytes(CHUNK), Buffer.alloc(2000, "x")]);
  const uploaded = await upload(fileWith("a", bytes));
  const mirror = join(under.directory, "mirror");
  const { id, sizeBytes } = uploaded.pack;
  await under.transfer.fetchWindow(id, 0, sizeBytes, mirror, "urgent");
  const copy = join(under.directory, "copy");
  expect(await under.transfer.extractChunks(mirror, targetsOf(uploaded, copy), "urgent")).toEqual([
    undefined,
    undefined,
  ]);
  expect(readFileSync(copy).equals(bytes)).toBe(true);
  expect(under.transfer.counters.gets).toBe(1);

  writeFileSync(mirror, "not what was there");
  expect(await under.transfer.extractChunks(mirror, targetsOf(uploaded, copy), "urgent")).toMatchObject([
    { kind: "corrupt" },
    { kind: "corrupt" },
  ]);
});

test("far chunks are fetched with requests of their own, near ones with one", async () => {
  const uploaded = await upload(fileWith("a", randomBytes(12 * CHUNK)));
  const targets = targetsOf(uploaded, join(under.directory, "copy"));
  const some = [0, 1, 5, 9, 10].flatMap((i) => targets[i] ?? []);
  await under.transfer.fetchChunks(uploaded.pack.id, some, "urgent");
  expect(under.transfer.counters.gets).toBe(3);
});

test("while nothing answers, a fetch gives up in time and an upload goes on until it is aborted, and both tell", async () => {
  await under.stop();
  vi.stubEnv("AWS_ACCESS_KEY_ID", "somebody");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "something");
  const endpoint = `http://127.0.0.1:${await closedPort()}`;
  const backend = { ...parseS3Location(`s3://bucket?endpoint=${endpoint}`, {}), idleTimeoutMs: 1000 };
  under = await startTransfer({ backend, fetchDeadlineMs: 3000 });
  const stored = { offset: 0, storedLength: 10, codec: 0 as const };
  const target = {
    hash: hexHashOf(Buffer.alloc(1)) as ChunkHash,
    rawLength: 10,
    path: "/nowhere",
    fileOffset: 0,
    ...stored,
  };
  const fetched = await under.transfer.fetchChunks(hexHashOf(Buffer.alloc(2)) as PackId, [target], "urgent");
  expect(fetched).toMatchObject([{ kind: "failed" }]);
  expect(under.transfer.counters.errors).toBeGreaterThan(0);

  const abort = new AbortController();
  const path = fileWith("a", randomBytes(1000));
  const uploading = under.transfer.uploadPack([{ path, offset: 0, length: 1000 }], nothing, "normal", abort.signal);
  const before = under.transfer.counters.retries;
  await vi.waitFor(() => expect(under.transfer.counters.retries).toBeGreaterThan(before + 2), { timeout: 60_000 });
  expect(under.transfer.counters.lastError).toBeDefined();
  abort.abort(new Error("enough"));
  await expect(uploading).rejects.toMatchObject({ kind: "aborted" });
});

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test("an abort ends what waits and what runs", async () => {
  const path = fileWith("a", randomBytes(40 * CHUNK));
  const sources = Array.from({ length: 40 }, (_, i) => ({ path, offset: i * CHUNK, length: CHUNK }));
  const abort = new AbortController();
  const uploads = Array.from({ length: 12 }, () =>
    under.transfer.uploadPack(sources, nothing, "background", abort.signal),
  );
  setTimeout(() => abort.abort(new Error("enough")), 20);
  const outcomes = await Promise.allSettled(uploads);
  expect(outcomes.filter(({ status }) => status === "rejected").length).toBeGreaterThan(0);
  const after = await under.transfer.uploadPack(sources.slice(0, 1), nothing, "urgent");
  expect(after.chunks).toHaveLength(1);
});

test("nothing is taken after close, and close waits for what is under way", async () => {
  await under.stop();
  under = await startTransfer({ closeGraceMs: 120_000 });
  const path = fileWith("a", randomBytes(8 * CHUNK));
  const sources = Array.from({ length: 8 }, (_, i) => ({ path, offset: i * CHUNK, length: CHUNK }));
  const uploading = under.transfer.uploadPack(sources, nothing, "normal");
  await new Promise(setImmediate);
  await under.transfer.close();
  expect((await uploading).pack).toBeDefined();
  await expect(under.transfer.uploadPack(sources, nothing, "normal")).rejects.toMatchObject({ kind: "worker" });
});

test("private files are made for what is fetched", async () => {
  const uploaded = await upload(fileWith("a", randomBytes(1000)));
  const copy = join(under.directory, "copy");
  await under.transfer.fetchChunks(uploaded.pack.id, targetsOf(uploaded, copy), "urgent");
  expect(statSync(copy).mode & 0o777).toBe(0o600);
});
