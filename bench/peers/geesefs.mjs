/** GeeseFS with a disk cache: https://github.com/yandex-cloud/geesefs#recommended-memory-limit and the lines below it */
import { open } from "node:fs/promises";
import {
  awsEnvironment,
  findProgram,
  prepare,
  programAvailable,
  programVersion,
  startMount,
  stopMount,
} from "./support.mjs";

/** @type {import("./support.mjs").Peer} */
export const geesefs = {
  name: "GeeseFS",
  available: () => programAvailable("geesefs"),
  version: () => programVersion("geesefs", "--version"),
  cannot: ["mtime", "mode", "hard link"],
  notes: "dirty data is in memory only; flush is an fsync of the mount's root, which uploads everything",

  async mount({ endpoint, region, bucket, prefix, credentials, directory, cacheDirectory }) {
    const mountpoint = prepare({ directory, cacheDirectory });
    const mount = await startMount({
      program: findProgram("geesefs"),
      directory,
      mountpoint,
      args: [
        "-f",
        `--endpoint=${endpoint}`,
        `--region=${region}`,
        `--cache=${cacheDirectory}`,
        ...OPTIONS,
        `${bucket}:${prefix}`,
        mountpoint,
      ],
      environment: awsEnvironment({ credentials, region }),
    });
    const flush = () => syncRoot(mountpoint);
    return {
      mountpoint,
      flush,
      async unmount() {
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
  // Its manual's settings for speed: "Maximizing throughput".
  "--no-checksum",
  "--memory-limit=4000",
  "--max-flushers=32",
  "--max-parallel-parts=32",
  "--part-sizes=25",
  // Nobody else writes the bucket, and a million entries (1 KB each) are kept rather than forgotten.
  "--stat-cache-ttl=1h",
  "--entry-limit=1000000",
  // Path-style and signature are known, and the server has nothing older to clean up.
  "--no-detect",
  "--no-expire-multipart",
  "--list-type=2",
  "--print-stats=0",
];

/** "Calling fsync on a directory makes GeeseFS flush all changes inside it" (its manual). */
async function syncRoot(mountpoint) {
  const root = await open(mountpoint, "r");
  try {
    await root.sync();
  } finally {
    await root.close();
  }
}
