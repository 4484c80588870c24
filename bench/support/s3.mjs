import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { firstWords } from "./commands.mjs";
import { startS3Server } from "./s3-server.mjs";

const PROXY = fileURLToPath(new URL("./latency-proxy.mjs", import.meta.url));

/**
 * The object store of a row, the same for everybody who is compared in it: a server on loopback, or the one that
 * `PODFS_BENCH_S3=ENDPOINT,BUCKET,KEY,SECRET` names.
 */
export class BenchStore {
  #server;

  constructor(server) {
    this.#server = server;
    const { endpoint, region, credentials } = server;
    this.endpoint = endpoint;
    this.bucket = server.bucket;
    this.name = server.name;
    this.region = region;
    this.credentials = credentials;
    this.client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
  }

  /** @param workspace keeps the server's files and stops it */
  static async start(workspace) {
    const server = externalServer() ?? (await startS3Server({ directory: await workspace.path("s3") }));
    const store = new BenchStore(server);
    workspace.onDispose(store, () => store.stop());
    Object.assign(workspace.environment, store.environment);
    return store;
  }

  /** Credentials for programs that take them from there. */
  get environment() {
    return {
      AWS_ACCESS_KEY_ID: this.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: this.credentials.secretAccessKey,
      AWS_REGION: this.region,
    };
  }

  /** A volume in it. @param endpoint another way there: that of {@link farAway} */
  volumeUrl(prefix, endpoint = this.endpoint) {
    return `s3://${this.bucket}/${prefix}?endpoint=${endpoint}&region=${this.region}`;
  }

  async put(key, body) {
    await this.client.send(new PutObjectCommand({ Bucket: this.bucket, Key: key, Body: body }));
  }

  /** @param range `[first, last]` byte */
  async get(key, range, client = this.client) {
    const Range = range === undefined ? undefined : `bytes=${range[0]}-${range[1]}`;
    const { Body } = await client.send(new GetObjectCommand({ Bucket: this.bucket, Key: key, Range }));
    return await Body.transformToByteArray();
  }

  /** Keys below a prefix. */
  async list(prefix) {
    const keys = [];
    for (let token; ; ) {
      const page = await this.client.send(
        new ListObjectsV2Command({ Bucket: this.bucket, Prefix: prefix, ContinuationToken: token }),
      );
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key));
      token = page.NextContinuationToken;
      if (token === undefined) return keys;
    }
  }

  /** The same store, with every request held back. */
  async farAway(workspace, latencyMs) {
    const child = spawn(process.execPath, [PROXY, this.endpoint, String(latencyMs)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    workspace.onDispose(child, async () => child.kill());
    const { endpoint } = JSON.parse(await firstWords(child));
    const { region, credentials } = this;
    return {
      endpoint,
      client: new S3Client({ endpoint, region, forcePathStyle: true, credentials }),
      /** Requests by method since the last call. */
      requests: async () => await (await fetch(`${endpoint}/-/requests`)).json(),
      setLatency: async (ms) => void (await fetch(`${endpoint}/-/latency/${ms}`)),
    };
  }

  async stop() {
    this.client.destroy();
    await this.#server.stop();
  }
}

function externalServer() {
  if (process.env.PODFS_BENCH_S3 === undefined) return undefined;
  const [endpoint, bucket, accessKeyId, secretAccessKey] = process.env.PODFS_BENCH_S3.split(",");
  if (secretAccessKey === undefined) throw new Error("PODFS_BENCH_S3 is ENDPOINT,BUCKET,KEY,SECRET");
  const region = process.env.AWS_REGION ?? "us-east-1";
  return { name: "external", endpoint, region, bucket, credentials: { accessKeyId, secretAccessKey }, stop: () => {} };
}
