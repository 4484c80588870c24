/** Mountpoint for Amazon S3 with a local cache: https://github.com/awslabs/mountpoint-s3/blob/main/doc/CONFIGURATION.md */
import {
  awsEnvironment,
  findProgram,
  prepare,
  programAvailable,
  programVersion,
  startMount,
  stopMount,
} from "./support.mjs";

const PROGRAM = "mount-s3";

/** @type {import("./support.mjs").Peer} */
export const mountpointS3 = {
  name: "mountpoint-s3",
  available: () => programAvailable(PROGRAM),
  version: () => programVersion(PROGRAM, "--version"),
  cannot: ["rename", "truncate", "random write", "append", "mtime", "mode", "symlink", "hard link"],
  notes:
    "sequential writes of new files only; close() uploads, so flush has nothing to wait for; its cache starts empty",

  async mount({ endpoint, region, bucket, prefix, credentials, directory, cacheDirectory }) {
    const mountpoint = prepare({ directory, cacheDirectory });
    const mount = await startMount({
      program: findProgram(PROGRAM),
      directory,
      mountpoint,
      args: [
        "--foreground",
        `--endpoint-url=${endpoint}`,
        `--region=${region}`,
        "--force-path-style",
        `--prefix=${prefix}/`,
        `--cache=${cacheDirectory}`,
        ...OPTIONS,
        bucket,
        mountpoint,
      ],
      // Without a backtrace the last line of its log says what went wrong.
      environment: { ...awsEnvironment({ credentials, region }), RUST_BACKTRACE: "0" },
    });
    return { mountpoint, flush: async () => {}, unmount: () => stopMount(mount) };
  },
};

const OPTIONS = [
  // Nobody else writes the bucket.
  "--metadata-ttl=indefinite",
  // Off by default, and nothing that deletes or replaces a file works without.
  "--allow-delete",
  "--allow-overwrite",
  // It sizes its parallelism by the instance type's network, and knows none here: 10 Gbit/s would be assumed.
  "--maximum-throughput-gbps=100",
];
