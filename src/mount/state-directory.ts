import { lstat, mkdir } from "node:fs/promises";
import { UserError } from "../base/index.js";
import { type MountStatePaths, mountStatePaths } from "../config/index.js";

/**
 * Makes the private directory in which one mountpoint's control socket and log lie.
 * @throws UserError when it cannot be made, or others could write to it.
 */
export async function prepareStateDirectory(
  stateDir: string,
  mountpoint: string,
  hostname: string,
): Promise<MountStatePaths> {
  const paths = mountStatePaths(stateDir, mountpoint, hostname);
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
