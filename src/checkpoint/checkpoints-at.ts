import { stat } from "node:fs/promises";
import { join } from "node:path";
import { findCheckpoint, listCheckpoints } from "./catalog.js";
import { CheckpointError } from "./errors.js";
import { parseCheckpointPath } from "./names.js";
import type { Where } from "./open-checkpoint.js";

export interface AtPath extends Where {
  /** As somebody would write it. */
  readonly path: string;
}

/**
 * What a path means to somebody who wants to look: a checkpoint, or else all of those in a directory.
 * @throws CheckpointError not-found, where a directory has none; invalid-name
 */
export async function checkpointsAt(path: string): Promise<readonly AtPath[]> {
  if (!(await isDirectory(path)) || (await isCheckpoint(path))) return [{ path, ...parseCheckpointPath(path) }];
  const all = await listCheckpoints(path);
  if (all.length === 0) throw new CheckpointError("not-found", `there are no checkpoints in ${path}`);
  return all.map(({ name }) => ({ path: join(path, name), directory: path, name }));
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Also where a directory of the same name lies beside it. */
async function isCheckpoint(path: string): Promise<boolean> {
  try {
    const { directory, name } = parseCheckpointPath(path);
    await findCheckpoint(directory, name);
    return true;
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}
