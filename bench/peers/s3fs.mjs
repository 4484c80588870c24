/** s3fs-fuse with a local cache: https://github.com/s3fs-fuse/s3fs-fuse/blob/master/doc/man/s3fs.1.in */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { findProgram, prepare, programAvailable, programVersion, startMount, stopMount } from "./support.mjs";

/** @type {import("./support.mjs").Peer} */
export const s3fs = {
  name: "s3fs",
  available: () => programAvailable("s3fs"),
  version: () => programVersion("s3fs", "--version"),
  cannot: ["hard link"],
  notes: "no write-back: close() uploads, so flush has nothing to wait for",

  async mount({ endpoint, region, bucket, prefix, credentials, directory, cacheDirectory }) {
    const mountpoint = prepare({ directory, cacheDirectory });
    const passwords = join(directory, "s3fs.passwd");
    writeFileSync(passwords, `${credentials.accessKeyId}:${credentials.secretAccessKey}\n`, { mode: 0o600 });
    // It mounts only prefixes that exist.
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${prefix}/`, Body: "", ContentLength: 0 }));
    client.destroy();
    const options = [
      `url=${endpoint}`,
      `endpoint=${region}`,
      "use_path_request_style",
      `passwd_file=${passwords}`,
      // Without it the cache is a temporary file that is gone at close.
      `use_cache=${cacheDirectory}`,
      ...OPTIONS,
    ];
    const mount = await startMount({
      program: findProgram("s3fs"),
      directory,
      mountpoint,
      args: [`${bucket}:/${prefix}`, mountpoint, "-f", ...options.flatMap((option) => ["-o", option])],
    });
    return { mountpoint, flush: async () => {}, unmount: () => stopMount(mount) };
  },
};

const OPTIONS = [
  // Nobody else writes the bucket: attributes, and that a name is absent, need not be asked for again.
  "max_stat_cache_size=1000000",
  "stat_cache_expire=3600",
  "enable_noobj_cache",
  "entry_timeout=3600",
  "attr_timeout=3600",
  "kernel_cache",
  // More than 4 KiB a write: libfuse 2 needs to be told.
  "big_writes",
  // Parts of large files in parallel; the default is 5 of 10 MB.
  "parallel_count=16",
  "multipart_size=16",
  "multireq_max=50",
  "dbglevel=err",
];
