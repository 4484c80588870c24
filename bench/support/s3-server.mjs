/**
 * An S3 server on loopback for benchmarks, in a process of its own: the fastest one that is installed.
 *
 * s3rver, which comes with the development dependencies, spends 1.5 to 3 times versitygw's processor time on a PUT and 5
 * times on a GET, and does not honour conditional writes; on a small machine that time is missing on the client's side.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findProgram, freePort, waitUntil } from "../peers/support.mjs";

const BUCKET = "bench";
const REGION = "us-east-1";
const START_MS_MAX = 20_000;
/** s3rver knows no others. */
const CREDENTIALS = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };

/**
 * @param {object} options
 * @param {string} options.directory where objects go; nothing else may be in it
 * @param {number} [options.latencyMs] how long each request is held back, as a bucket far away does
 * @param {string} [options.only] the name of the one to take, instead of the fastest installed
 * @returns {Promise<{ endpoint: string, region: string, bucket: string,
 *   credentials: { accessKeyId: string, secretAccessKey: string },
 *   name: string, conditionalWrites: boolean, stop: () => Promise<void> }>} the bucket exists; `stop` keeps the objects
 */
export async function startS3Server({ directory, latencyMs = 0, only }) {
  mkdirSync(directory, { recursive: true });
  const server = SERVERS.find(({ name, installed }) => (only === undefined || name === only) && installed());
  if (server === undefined) throw new Error(`no S3 server called ${only} is installed`);
  const near = await server.start(directory);
  const far = latencyMs > 0 ? await startFarAway(near.endpoint, latencyMs) : near;
  return {
    endpoint: far.endpoint,
    region: REGION,
    bucket: BUCKET,
    credentials: CREDENTIALS,
    name: server.name,
    conditionalWrites: server.conditionalWrites,
    stop: async () => void (await Promise.all([far.child, near.child].map(endChild))),
  };
}

/** Fastest first. */
const SERVERS = [
  {
    name: "versitygw",
    conditionalWrites: true,
    installed: () => findProgram("versitygw") !== undefined,
    /** https://github.com/versity/versitygw/wiki: a directory is a bucket, a file an object, ETags are in its xattrs. */
    async start(directory) {
      mkdirSync(join(directory, BUCKET), { recursive: true });
      const port = await freePort();
      const args = [
        ["--port", `127.0.0.1:${port}`],
        ["--region", REGION],
        // Without it every request opens a connection.
        "--keep-alive",
        "--quiet",
        "posix",
        // ETags from the checksum the client sends anyway, instead of MD5: up to half the processor time of a PUT.
        "--data-integrity-etag",
        directory,
      ].flat();
      const environment = { ROOT_ACCESS_KEY: CREDENTIALS.accessKeyId, ROOT_SECRET_KEY: CREDENTIALS.secretAccessKey };
      const child = startChild(findProgram("versitygw"), args, {
        // It says on stderr that it was told to end: shown only if it ends by itself.
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, ...environment },
      });
      const endpoint = `http://127.0.0.1:${port}`;
      await answering(endpoint, child);
      return { endpoint, child };
    },
  },
  {
    name: "s3rver",
    conditionalWrites: false,
    installed: () => true,
    async start(directory) {
      const script = join(import.meta.dirname, "slow-s3.mjs");
      const child = startChild(process.execPath, [script, directory, "0"], { stdio: ["ignore", "pipe", "inherit"] });
      // Without its own proxy, which is as slow as it is.
      const { direct } = await firstLine(child, "s3rver");
      return { endpoint: direct, child };
    },
  },
];

/** @throws Error the server ended, or does not answer */
async function answering(endpoint, child) {
  let said = "";
  let failure;
  child.stderr.on("data", (text) => (said = `${said}${text}`.slice(-1000)));
  child.once("error", (error) => (failure = error));
  child.once("exit", (code) => (failure ??= new Error(`the S3 server ended with ${code}: ${said.trim()}`)));
  await waitUntil(async () => {
    if (failure !== undefined) throw failure;
    return await fetch(endpoint).then(
      () => true,
      () => false,
    );
  }, START_MS_MAX);
}

/** Ended with this process at the latest. */
function startChild(program, args, options) {
  const child = spawn(program, args, options);
  const kill = () => child.kill();
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  return child;
}

async function endChild(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill();
  await ended;
}

async function startFarAway(endpoint, latencyMs) {
  const script = join(import.meta.dirname, "latency-proxy.mjs");
  const child = startChild(process.execPath, [script, endpoint, String(latencyMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { child, ...(await firstLine(child, "the proxy")) };
}

/** What a server of ours says of itself when it is ready. */
async function firstLine(child, name) {
  for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line);
  throw new Error(`${name} did not start`);
}
