/** rclone mount with the full VFS cache: https://rclone.org/commands/rclone_mount/ */
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import {
  findProgram,
  freePort,
  prepare,
  programAvailable,
  programVersion,
  startMount,
  stopMount,
  waitUntil,
} from "./support.mjs";

const run = promisify(execFile);
const FLUSH_MS_MAX = 600_000;

/** @type {import("./support.mjs").Peer} */
export const rclone = {
  name: "rclone",
  available: () => programAvailable("rclone"),
  version: () => programVersion("rclone", "version"),
  get cannot() {
    return ["mode", "hard link", ...(newerOptions().includes(LINKS_OPTION) ? [] : ["symlink"])];
  },
  notes: "full VFS cache; flush waits until it reports no upload queued or under way and no dirty file",

  async mount({ endpoint, region, bucket, prefix, credentials, directory, cacheDirectory }) {
    const mountpoint = prepare({ directory, cacheDirectory });
    const port = await freePort();
    const mount = await startMount({
      program: findProgram("rclone"),
      directory,
      mountpoint,
      args: [
        "mount",
        `peer:${bucket}/${prefix}`,
        mountpoint,
        `--cache-dir=${cacheDirectory}`,
        ...OPTIONS,
        ...newerOptions(),
        // Remote control, on loopback: the only way to ask what is not uploaded yet.
        "--rc",
        "--rc-no-auth",
        `--rc-addr=127.0.0.1:${port}`,
      ],
      environment: {
        // A remote named "peer", without a configuration file: https://rclone.org/docs/#environment-variables
        RCLONE_CONFIG: "",
        RCLONE_CONFIG_PEER_TYPE: "s3",
        RCLONE_CONFIG_PEER_PROVIDER: "Other",
        RCLONE_CONFIG_PEER_ENDPOINT: endpoint,
        RCLONE_CONFIG_PEER_REGION: region,
        RCLONE_CONFIG_PEER_ACCESS_KEY_ID: credentials.accessKeyId,
        RCLONE_CONFIG_PEER_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        RCLONE_CONFIG_PEER_FORCE_PATH_STYLE: "true",
      },
    });
    const flush = () => waitUntil(() => isUploaded(port), FLUSH_MS_MAX);
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

const OPTIONS = [
  // The only mode that keeps what was read on disk, and lets any write through.
  "--vfs-cache-mode=full",
  // Upload a second after close, as podfs does; the default is 5 s.
  "--vfs-write-back=1s",
  // Nobody else writes the bucket, so names and attributes need not be asked for again.
  "--dir-cache-time=1h",
  "--attr-timeout=1h",
  "--poll-interval=0",
  // Times from the listing instead of a HEAD for each object; advised for S3.
  "--use-server-modtime",
  // Advised for caches over S3: no HEAD for the time that is part of a full fingerprint.
  "--vfs-fast-fingerprint",
  // Small files go up in parallel; the default is 4.
  "--transfers=32",
  // Large files: parts in parallel, and no MD5 over the whole file before the first part.
  "--s3-upload-concurrency=16",
  "--s3-chunk-size=16M",
  "--s3-disable-checksum",
  "--s3-no-check-bucket",
  // Sequential reads: the kernel asks for more at once, the cache reads ahead.
  "--max-read-ahead=1M",
  "--vfs-read-ahead=256M",
];

/** Symlinks, which there are none of otherwise. */
const LINKS_OPTION = "--vfs-links";

const NEWER_OPTIONS = [
  LINKS_OPTION,
  // Several ranged GETs at once: the manual's starting point for fast object stores.
  "--vfs-read-chunk-streams=16",
  "--vfs-read-chunk-size=4M",
];

/** Those of them that this rclone knows: Debian 12's, 1.60, knows none. */
function newerOptions() {
  const program = findProgram("rclone");
  const help = program === undefined ? "" : execFileSync(program, ["mount", "--help"], { encoding: "utf8" });
  return NEWER_OPTIONS.filter((option) => help.includes(`${option.split("=")[0]} `));
}

/**
 * Nothing is queued, and no file's record in the cache says that it is dirty: a file is queued only when the kernel's
 * RELEASE has been served, which is after close() has returned.
 * @see https://rclone.org/rc/#vfs-stats
 */
async function isUploaded(port) {
  const answer = await fetch(`http://127.0.0.1:${port}/vfs/stats`, { method: "POST" });
  const { diskCache } = await answer.json();
  if (diskCache.erroredFiles > 0) throw new Error(`rclone could not upload ${diskCache.erroredFiles} files`);
  if (diskCache.uploadsInProgress > 0 || diskCache.uploadsQueued > 0) return false;
  return await run("grep", ["-rqsE", '"Dirty": *true', diskCache.pathMeta]).then(
    () => false,
    () => true,
  );
}
