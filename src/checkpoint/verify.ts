import { open } from "node:fs/promises";
import { join } from "node:path";
import { findCheckpoint } from "./catalog.js";
import { withErrors } from "./errors.js";
import type { CheckpointInfo } from "./inspect.js";

/** Of one read: large enough for a disk, small enough for a machine that is training. */
const READ_BYTES = 4 << 20;

export interface Verdict {
  readonly checkpoint: CheckpointInfo;
  /** What is wrong, one line each; none if it is whole. */
  readonly problems: readonly string[];
}

/**
 * Whether a checkpoint can be loaded: every rank's file is there, each follows its format to the last byte, they belong
 * to one save, the index agrees with them, and every byte can be read. In a podfs mount, reading also compares
 * what comes out of the volume with the hashes it was stored under.
 * @throws CheckpointError not-found
 */
export async function verifyCheckpoint(directory: string, name: string): Promise<Verdict> {
  const [checkpoint] = await findCheckpoint(directory, name);
  const problems = checkpoint.state === "complete" ? [] : [checkpoint.reason];
  for (const file of checkpoint.files) {
    try {
      await withErrors(file, () => readThrough(join(directory, file)));
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { checkpoint, problems };
}

async function readThrough(path: string): Promise<void> {
  const buffer = Buffer.alloc(READ_BYTES);
  const handle = await open(path, "r");
  try {
    while ((await handle.read(buffer, 0, buffer.length)).bytesRead > 0);
  } finally {
    await handle.close();
  }
}
