/**
 * Mounts every installed peer against a local S3 server, writes and reads a file, tries what a filesystem may lack, and
 * prints a table. It measures nothing: it says whether the benchmarks can.
 *
 *   node bench/peers/check.mjs [NAME …]
 *
 * Needs root and /dev/fuse. Exit status 1: a peer is installed and does not work, or can do less than it says.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { startS3Server } from "../support/s3-server.mjs";
import { peers } from "./index.mjs";
import { ABILITIES } from "./support.mjs";

const BODY = randomBytes(20 << 20);

/** Each by doing it and looking at what came of it, for some say yes and do nothing. */
const TRIALS = {
  rename: async (path) => {
    await fs.writeFile(path, "a");
    await fs.rename(path, `${path}.new`);
    return (await fs.readFile(`${path}.new`, "utf8")) === "a";
  },
  truncate: async (path) => {
    await fs.writeFile(path, "abcdef");
    await fs.truncate(path, 3);
    return (await fs.readFile(path, "utf8")) === "abc";
  },
  "random write": async (path) => {
    await fs.writeFile(path, "abcdef");
    const file = await fs.open(path, "r+");
    await file.write("X", 2);
    await file.close();
    return (await fs.readFile(path, "utf8")) === "abXdef";
  },
  append: async (path) => {
    await fs.writeFile(path, "abc");
    await fs.appendFile(path, "def");
    return (await fs.readFile(path, "utf8")) === "abcdef";
  },
  mtime: async (path) => {
    await fs.writeFile(path, "a");
    await fs.utimes(path, 2e9, 1e9);
    return (await fs.stat(path)).mtimeMs === 1e12;
  },
  mode: async (path) => {
    await fs.writeFile(path, "a");
    await fs.chmod(path, 0o751);
    return ((await fs.stat(path)).mode & 0o777) === 0o751;
  },
  symlink: async (path) => {
    await fs.symlink("target", path);
    return (await fs.readlink(path)) === "target";
  },
  "hard link": async (path) => {
    await fs.writeFile(path, "a");
    await fs.link(path, `${path}.other`);
    return (await fs.stat(path)).ino === (await fs.stat(`${path}.other`)).ino;
  },
};

const names = process.argv.slice(2);
const work = await fs.mkdtemp(join(process.env.PODFS_BENCH_DIR ?? tmpdir(), "podfs-peers-"));
const server = await startS3Server({ directory: join(work, "s3") });
let failed = 0;
try {
  console.log(`S3 server: ${server.name}\n`);
  printRow("peer", "version", "mount", "reads back", "in the bucket", "cannot");
  for (const peer of peers) {
    if (names.length > 0 && !names.includes(peer.name)) continue;
    const available = peer.available();
    if (available !== true) printRow(peer.name, "-", `skipped: ${available}`);
    else await check(peer);
  }
} finally {
  await server.stop();
  await fs.rm(work, { recursive: true, force: true, maxRetries: 5 });
}
process.exitCode = failed > 0 ? 1 : 0;

async function check(peer) {
  const prefix = `check-${peer.name.toLowerCase()}`;
  try {
    const start = performance.now();
    const options = {
      ...server,
      prefix,
      directory: join(work, peer.name),
      cacheDirectory: join(work, peer.name, "cache"),
    };
    const mount = await peer.mount(options);
    try {
      const mounted = `${Math.round(performance.now() - start)} ms`;
      const isBack = await writeAndRead(mount.mountpoint);
      await mount.flush();
      const bytes = await bytesBelow(prefix);
      const lacking = await lackingIn(mount.mountpoint);
      printRow(
        peer.name,
        await peer.version(),
        mounted,
        isBack ? "yes" : "NO",
        `${bytes >> 20} MiB`,
        lacking.join(", "),
      );
      const unexpected = lacking.filter((ability) => !peer.cannot.includes(ability));
      const exceeded = peer.cannot.filter((ability) => !lacking.includes(ability));
      if (!isBack || unexpected.length > 0) failed++;
      if (unexpected.length > 0) console.log(`  said it could: ${unexpected.join(", ")}`);
      if (exceeded.length > 0) console.log(`  can do more than it says: ${exceeded.join(", ")}`);
    } finally {
      await mount.unmount();
    }
  } catch (error) {
    failed++;
    printRow(peer.name, await peer.version(), `FAILED: ${error.message}`);
  }
}

async function writeAndRead(mountpoint) {
  const path = join(mountpoint, "file");
  await fs.writeFile(path, BODY);
  return BODY.equals(await fs.readFile(path));
}

async function bytesBelow(prefix) {
  const client = new S3Client({ ...server, forcePathStyle: true });
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: server.bucket, Prefix: prefix }));
  client.destroy();
  return Contents.reduce((sum, { Size }) => sum + Size, 0);
}

async function lackingIn(mountpoint) {
  const lacking = [];
  for (const ability of ABILITIES) {
    const can = await TRIALS[ability](join(mountpoint, ability.replace(" ", "-"))).catch(() => false);
    if (!can) lacking.push(ability);
  }
  return lacking;
}

function printRow(name, version, mount, readsBack = "", inBucket = "", cannot = "") {
  console.log(
    [name.padEnd(15), version.padEnd(18), mount.padEnd(9), readsBack.padEnd(11), inBucket.padEnd(14), cannot].join(" "),
  );
}
