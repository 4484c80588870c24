/** Other filesystems over the same S3 server, each optional: found in PODFS_PEERS_DIR or on the PATH. */
import { fuseNative } from "./fuse-native.mjs";
import { geesefs } from "./geesefs.mjs";
import { juicefs } from "./juicefs.mjs";
import { mountpointS3 } from "./mountpoint-s3.mjs";
import { rclone } from "./rclone.mjs";
import { s3fs } from "./s3fs.mjs";

/** @type {readonly import("./support.mjs").Peer[]} */
export const peers = [rclone, s3fs, juicefs, geesefs, mountpointS3, fuseNative];
