/// <reference path="./s3rver.d.ts" />
import crypto, { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import S3rver, { type S3rverContext } from "s3rver";
import { KeyedQueue } from "../../src/base/index.js";
import { S3ServerStore } from "./s3-server-store.js";

const BUCKET = "podfs-test";
/** Requests to it are answered 403. */
const DENIED_BUCKET = "podfs-denied";

export interface S3ServerOptions {
  /** Honour If-None-Match and If-Match as S3 does (the default), or ignore them as many servers do. */
  readonly conditionalWrites?: boolean;
  /** Whatever the environment says, a server in this process: for tests that make trouble. */
  readonly own?: boolean;
}

export interface S3Request {
  readonly method: string;
  /** `/bucket/key` */
  readonly path: string;
}

/** What happens in place of an answer. */
export type S3Trouble =
  | { readonly status: number; readonly code: string }
  | "hang"
  /** The connection breaks. */
  | "reset";

/** An S3 server over HTTP: s3rver in this process, or the one that PODFS_TEST_S3_ENDPOINT names. */
export interface S3TestServer {
  readonly endpoint: string;
  readonly bucket: string;
  /** Credentials and region, as environment variables for whoever talks to it. */
  readonly environment: Readonly<Record<string, string>>;
  /** False for a server that somebody else runs: then {@link trouble} and {@link requests} do nothing. */
  readonly own: boolean;
  /** Every request so far. */
  readonly requests: S3Request[];
  /** Decides what goes wrong; undefined lets a request pass. */
  trouble: ((request: S3Request) => S3Trouble | undefined | Promise<S3Trouble | undefined>) | undefined;
  /** A place in the bucket that nothing has used before. `denied`: one that these credentials may not use. */
  createVolumeUrl(options?: { readonly denied?: boolean }): Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts a server on a free loopback port. With PODFS_TEST_S3_ENDPOINT set, uses that one instead: with
 * PODFS_TEST_S3_BUCKET (an existing bucket), PODFS_TEST_S3_REGION and the AWS credentials of the environment.
 */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3TestServer> {
  const external = process.env.PODFS_TEST_S3_ENDPOINT;
  return external === undefined || options.own ? await startOwnServer(options) : externalServer(external);
}

async function startOwnServer({ conditionalWrites = true }: S3ServerOptions): Promise<S3TestServer> {
  repairCipher();
  const directory = await mkdtemp(join(tmpdir(), "podfs-s3-"));
  const staging = join(directory, "staging");
  const buckets = join(directory, "buckets");
  await mkdir(staging);
  const server = new S3rver({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: buckets,
    vhostBuckets: false,
    configureBuckets: [{ name: BUCKET }, { name: DENIED_BUCKET }],
  });
  const store = new S3ServerStore(buckets, staging);
  server.store = store;
  server.context.store = store;
  const requests: S3Request[] = [];
  const hanging = new Set<S3rverContext>();
  if (conditionalWrites) server.middleware.unshift(conditions(store));
  server.middleware.unshift(async (context, next) => {
    const request = { method: context.method, path: decodeURIComponent(context.path) };
    requests.push(request);
    const isDenied = request.path.split("/")[1] === DENIED_BUCKET;
    const trouble = isDenied ? { status: 403, code: "AccessDenied" } : await result.trouble?.(request);
    if (trouble === undefined) return await next();
    if (typeof trouble !== "string") return refuse(context, trouble.status, trouble.code);
    context.respond = false;
    if (trouble === "reset") context.req.socket.destroy();
    else hanging.add(context);
  });
  const { port } = await server.run();
  const endpoint = `http://127.0.0.1:${port}`;
  const result: S3TestServer = {
    endpoint,
    bucket: BUCKET,
    environment: {
      AWS_ACCESS_KEY_ID: "S3RVER",
      AWS_SECRET_ACCESS_KEY: "S3RVER",
      AWS_REGION: "us-east-1",
      AWS_EC2_METADATA_DISABLED: "true",
    },
    own: true,
    requests,
    trouble: undefined,
    createVolumeUrl: async (place = {}) => volumeUrl(place.denied ? DENIED_BUCKET : BUCKET, endpoint, "us-east-1"),
    close: async () => {
      server.httpServer.closeAllConnections();
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
  return result;
}

function externalServer(endpoint: string): S3TestServer {
  const bucket = process.env.PODFS_TEST_S3_BUCKET ?? BUCKET;
  const region = process.env.PODFS_TEST_S3_REGION ?? process.env.AWS_REGION ?? "us-east-1";
  const names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"];
  const environment = Object.fromEntries(
    names.flatMap((name) => Object.entries(process.env).filter(([key]) => key === name)),
  );
  return {
    endpoint,
    bucket,
    environment: { ...(environment as Record<string, string>), AWS_REGION: region },
    own: false,
    requests: [],
    trouble: undefined,
    // What these credentials may not use, on a server we know nothing about, is a bucket that is not there.
    createVolumeUrl: async ({ denied = false } = {}) => volumeUrl(denied ? DENIED_BUCKET : bucket, endpoint, region),
    close: async () => {},
  };
}

function volumeUrl(bucket: string, endpoint: string, region: string): string {
  return `s3://${bucket}/volume-${randomBytes(8).toString("hex")}?endpoint=${endpoint}&region=${region}`;
}

/** If-None-Match: * and If-Match for PUT, as S3 has them: exact, whoever races. */
function conditions(store: S3ServerStore) {
  const queue = new KeyedQueue<string>();
  return async (context: S3rverContext, next: () => Promise<void>): Promise<void> => {
    if (context.method !== "PUT") return await next();
    const ifNoneMatch = context.headers["if-none-match"];
    const ifMatch = context.headers["if-match"];
    await queue.run(context.path, async () => {
      const [, bucket = "", ...parts] = decodeURIComponent(context.path).split("/");
      const current = await store.getMetadata(bucket, parts.join("/")).catch(() => undefined);
      if (ifNoneMatch === "*" && current !== undefined) refuse(context, 412, "PreconditionFailed");
      else if (ifMatch !== undefined && current === undefined) refuse(context, 404, "NoSuchKey");
      else if (ifMatch !== undefined && current?.etag !== ifMatch) refuse(context, 412, "PreconditionFailed");
      else await next();
    });
  };
}

function refuse(context: S3rverContext, status: number, code: string): void {
  context.req.resume();
  context.status = status;
  context.type = "application/xml";
  const hasBody = context.method !== "HEAD";
  context.body = hasBody ? `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>` : "";
}

/**
 * s3rver encrypts its list tokens with DES, which OpenSSL 3 no longer has by that name. Triple DES with three equal
 * keys is the same function.
 */
function repairCipher(): void {
  const { createCipheriv, createDecipheriv } = crypto;
  const isRepaired = "podfsRepaired" in createCipheriv;
  if (isRepaired) return;
  type Parameters3 = [algorithm: string, key: Buffer, iv: Buffer];
  const triple = ([algorithm, key, iv]: Parameters3): Parameters3 =>
    algorithm === "des" ? ["des-ede3-cbc", Buffer.concat([key, key, key]), iv] : [algorithm, key, iv];
  const patched = {
    createCipheriv: Object.assign((...call: Parameters3) => createCipheriv(...triple(call)), { podfsRepaired: true }),
    createDecipheriv: (...call: Parameters3) => createDecipheriv(...triple(call)),
  };
  Object.assign(crypto, patched);
}
