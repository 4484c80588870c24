/** What the peers share: finding their programs, starting them, waiting for their mounts, undoing them. */
import { execFile, spawn, spawnSync } from "node:child_process";
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/**
 * @typedef {object} MountOptions
 * @property {string} endpoint of the S3 server, http://host:port
 * @property {string} region
 * @property {string} bucket an existing one
 * @property {string} prefix in the bucket; lower-case letters, digits and hyphens are taken as they are by every peer,
 *   others JuiceFS replaces
 * @property {{ accessKeyId: string, secretAccessKey: string }} credentials
 * @property {string} directory the mount point and what the peer keeps from mount to mount go here: JuiceFS's metadata,
 *   which a deployment has on a server
 * @property {string} cacheDirectory an empty one makes the mount cold
 */

/**
 * @typedef {object} PeerMount
 * @property {string} mountpoint
 * @property {() => Promise<void>} flush what was closed before is in the bucket after; see the peer's notes
 * @property {() => Promise<void>} unmount what was closed before is not lost; the process has ended after
 */

/**
 * @typedef {object} Peer
 * @property {string} name
 * @property {() => Promise<string>} version
 * @property {() => true | string} available true, or what is missing
 * @property {(options: MountOptions) => Promise<PeerMount>} mount
 * @property {readonly string[]} cannot what rows must skip, of {@link ABILITIES}
 * @property {string} notes what a reader of its figures must know
 */

/** What a filesystem may lack; `check.mjs` tries each. */
export const ABILITIES = ["rename", "truncate", "random write", "append", "mtime", "mode", "symlink", "hard link"];

const MOUNT_MS_MAX = 60_000;
const UNMOUNT_MS_MAX = 120_000;
const LOOK_EVERY_MS = 50;

/** A program's path: in PODFS_PEERS_DIR, else on the PATH. */
export function findProgram(name) {
  const directories = [process.env.PODFS_PEERS_DIR ?? "", ...(process.env.PATH ?? "").split(delimiter)];
  return directories
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

/** For `available`: true, or what is missing. */
export function programAvailable(name) {
  return findProgram(name) === undefined ? `${name} is neither in PODFS_PEERS_DIR nor on the PATH` : true;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first thing like a version in what the program says of itself. */
export async function programVersion(name, ...args) {
  const { stdout, stderr } = await promisify(execFile)(findProgram(name), args);
  return /\d+\.\d+(\.\d+)?(-[\w.]+)?/.exec(stdout + stderr)?.[0] ?? "unknown";
}

/** Credentials as the AWS SDKs read them; the instance's own are never asked for. */
export function awsEnvironment({ credentials, region }) {
  return {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_REGION: region,
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

/** Makes the mount point and the cache directory. */
export function prepare({ directory, cacheDirectory }) {
  const mountpoint = join(directory, "mnt");
  mkdirSync(mountpoint, { recursive: true });
  mkdirSync(cacheDirectory, { recursive: true });
  return mountpoint;
}

/**
 * Starts a program in the foreground and waits until the mount is there. What it prints goes to `directory`/peer.log.
 * @throws Error the program ended first, or took too long: with the reason in its log
 */
export async function startMount({ program, args, environment = {}, directory, mountpoint }) {
  const log = join(directory, "peer.log");
  const output = openSync(log, "a");
  const child = spawn(program, args, {
    stdio: ["ignore", output, output],
    env: { ...foreignEnvironment(), ...environment },
  });
  closeSync(output);
  const ended = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  const abandon = () => {
    child.kill("SIGTERM");
    spawnSync("umount", ["-l", mountpoint], { stdio: "ignore" });
  };
  process.once("exit", abandon);
  let alive = true;
  ended.then(() => {
    alive = false;
    process.off("exit", abandon);
  });
  const mount = { child, ended, mountpoint };
  await waitUntil(() => !alive || isMounted(mountpoint), MOUNT_MS_MAX).catch(() => {});
  if (alive && isMounted(mountpoint)) return mount;
  await stopMount(mount);
  throw new Error(`${program} did not mount: ${reasonIn(readFileSync(log, "utf8"))}`);
}

/** The last line of what a program printed that looks like a reason, for an error of one line. */
export function reasonIn(output) {
  const lines = output.trim().split("\n");
  return lines.findLast((line) => /error|fail|fatal|cannot|not /i.test(line)) ?? lines.at(-1);
}

/** Without what this machine's user has set up for buckets of their own. */
export function foreignEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AWS|RCLONE|JFS)_/.test(name)));
}

/** Unmounts as a user would, waits until the program has ended, and ends it if it does not. */
export async function stopMount({ child, ended, mountpoint }) {
  const run = promisify(execFile);
  await waitUntil(async () => {
    if (!isMounted(mountpoint)) return true;
    // Busy for a moment is normal: the last handles are released after the programs that had them have ended.
    await run("umount", [mountpoint]).catch(() => {});
    return !isMounted(mountpoint);
  }, 20_000).catch(() => run("umount", ["-l", mountpoint]).catch(() => {}));
  const stubborn = setTimeout(() => child.kill("SIGKILL"), UNMOUNT_MS_MAX);
  // Nothing to wait for if it never mounted: then it is not the unmounting that ends it.
  const reminder = setTimeout(() => child.kill("SIGTERM"), 5000);
  await ended;
  clearTimeout(stubborn);
  clearTimeout(reminder);
}

/** Source: proc_pid_mounts(5); blanks in paths are \040 there. */
export function isMounted(mountpoint) {
  const field = mountpoint.replaceAll("\\", "\\134").replaceAll(" ", "\\040");
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[1] === field);
}

/** @throws Error it took longer than `withinMs` */
export async function waitUntil(condition, withinMs) {
  const until = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > until) throw new Error(`waited ${withinMs / 1000} s in vain`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** A TCP port that was free a moment ago, for programs that cannot say which one they took. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
