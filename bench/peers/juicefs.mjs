/**
 * JuiceFS with write-back and an embedded metadata engine: https://juicefs.com/docs/community/guide/cache/
 *
 * BadgerDB, because it was the fastest of its engines for `tar x` of 1,000 small files on one machine: the median took
 * 0.65 of the time with Redis (append-only file on), 0.60 of that with SQLite.
 */
import { execFile } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  findProgram,
  foreignEnvironment,
  prepare,
  programAvailable,
  programVersion,
  reasonIn,
  startMount,
  stopMount,
  waitUntil,
} from "./support.mjs";

const FLUSH_MS_MAX = 600_000;

/** @type {import("./support.mjs").Peer} */
export const juicefs = {
  name: "JuiceFS",
  available: () => programAvailable("juicefs"),
  version: () => programVersion("juicefs", "version"),
  cannot: [],
  notes:
    "write-back; metadata in BadgerDB beside the mount, which saves the round trip to a server that a deployment has; " +
    "flush waits until the mount's own metrics report no staged block",

  async mount({ endpoint, region, bucket, prefix, credentials, directory, cacheDirectory }) {
    const program = findProgram("juicefs");
    const mountpoint = prepare({ directory, cacheDirectory });
    const database = join(directory, "metadata");
    const bucketOption = `--bucket=${endpoint}/${bucket}`;
    const environment = {
      ACCESS_KEY: credentials.accessKeyId,
      SECRET_KEY: credentials.secretAccessKey,
      AWS_REGION: region,
    };
    if (!existsSync(database)) {
      const options = ["--no-update", "--storage=s3", bucketOption, ...FORMAT_OPTIONS];
      const args = ["format", ...options, `badger://${database}`, volumeName(prefix)];
      await promisify(execFile)(program, args, { env: { ...foreignEnvironment(), ...environment } }).catch((error) => {
        rmSync(database, { recursive: true, force: true });
        throw new Error(`juicefs format: ${reasonIn(error.stderr)}`, { cause: error });
      });
    }
    const mount = await startMount({
      program,
      directory,
      mountpoint,
      args: [
        "mount",
        ...MOUNT_OPTIONS,
        // Again: the metadata has the endpoint that it was formatted with.
        bucketOption,
        `--cache-dir=${cacheDirectory}`,
        `badger://${database}`,
        mountpoint,
      ],
      environment,
    });
    const flush = () => waitUntil(() => isUploaded(mountpoint), FLUSH_MS_MAX);
    return {
      mountpoint,
      flush,
      async unmount() {
        // Unmounting does not wait for uploads: they would go on at the next mount with the same cache.
        try {
          await flush();
        } finally {
          await stopMount(mount);
        }
      },
    };
  },
};

const FORMAT_OPTIONS = [
  // Deleting deletes: podfs keeps no trash either.
  "--trash-days=0",
];

const MOUNT_OPTIONS = [
  "--no-usage-report",
  // A write ends in the cache directory, the upload goes on behind it.
  "--writeback",
  // One client: what the kernel and the client know of names and attributes stays true.
  "--attr-cache=3600",
  "--entry-cache=3600",
  "--dir-entry-cache=3600",
  "--negative-entry-cache=3600",
  "--open-cache=3600",
  "--open-cache-limit=1000000",
  // Requests of 1 MiB instead of 128 KiB, and room for as much read ahead and written as other peers have.
  "--max-fuse-io=1M",
  "--buffer-size=1024",
  // Parallel uploads; the default is 20.
  "--max-uploads=64",
  // Background jobs and backups of the metadata would be measured with the rest.
  "--no-bgjob",
  "--backup-meta=0",
];

/** A volume is a prefix of the bucket, of 3 to 63 lower-case letters, digits and hyphens. */
function volumeName(prefix) {
  return prefix.replaceAll(/[^a-z0-9]+/gi, "-").toLowerCase();
}

/** @see https://juicefs.com/docs/community/p8s_metrics/ */
async function isUploaded(mountpoint) {
  const metrics = await readFile(join(mountpoint, ".stats"), "utf8");
  const staged = /^juicefs_staging_blocks\S* (\d+)/m.exec(metrics)?.[1];
  if (staged === undefined) throw new Error("JuiceFS reports no staged blocks, not even none");
  return staged === "0";
}
