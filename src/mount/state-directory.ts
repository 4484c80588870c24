import { lstat, mkdir } from "node:fs/promises";
import { UserError } from "../base/index.js";
import { type MountStatePaths, mountStatePaths } from "../config/index.js";

/** sun_path holds this and a NUL (unix(7)). Node cuts what is longer, so that all sockets of a directory become one. */
const SOCKET_PATH_BYTES_MAX = 107;

/**
 * Makes the private directory in which one mountpoint's sockets and log lie.
 * @throws UserError when it cannot be made, others could write to it, or its path is too long for a socket's.
 */
export async function prepareStateDirectory(
  stateDir: string,
  mountpoint: string,
  hostname: string,
): Promise<MountStatePaths> {
  const paths = mountStatePaths(stateDir, mountpoint, hostname);
  const socketBytes = Math.max(...[paths.controlSocket, paths.stagingSocket].map((path) => Buffer.byteLength(path)));
  if (socketBytes > SOCKET_PATH_BYTES_MAX) {
    throw new UserError(
      `the state directory ${stateDir} is too long by ${socketBytes - SOCKET_PATH_BYTES_MAX} bytes: sockets in it could ` +
        "not be named; PODFS_STATE_DIR names another",
    );
  }
  await makePrivateDirectory(stateDir);
  await makePrivateDirectory(paths.directory);
  return paths;
}

/** The control socket moves a user's files: nobody else may so much as replace it. */
async function makePrivateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`cannot make the state directory ${path} (${reason}); PODFS_STATE_DIR names another`, error);
  }
  const { uid, mode } = await lstat(path);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new UserError(
      `the state directory ${path} belongs to, or can be written by, somebody else; ` +
        "remove it, or name another with PODFS_STATE_DIR",
    );
  }
}
