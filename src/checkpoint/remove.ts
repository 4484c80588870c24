import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { findCheckpoint } from "./catalog.js";
import { openCheckpointFile } from "./checkpoint-file.js";
import { CheckpointError, withErrors } from "./errors.js";
import { fileRole, indexFirst } from "./names.js";

export interface Removal {
  readonly name: string;
  readonly files: readonly string[];
  readonly sizeBytes: number;
}

/**
 * Removes a checkpoint with all its files, damaged and incomplete ones too: the index first, so that at no moment there is
 * one whose files are gone.
 * @throws CheckpointError not-found; not-checkpoint: a file of such a name that never was one, then nothing is removed; io
 */
export async function removeCheckpoint(directory: string, name: string): Promise<Removal> {
  const found = await findCheckpoint(directory, name);
  const files = indexFirst([...new Set(found.flatMap((checkpoint) => checkpoint.files))]);
  for (const file of files) await checkThatItWasOne(directory, file);
  for (const file of files) {
    const path = join(directory, file);
    await withErrors(path, () => unlink(path));
  }
  return { name, files, sizeBytes: found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

async function checkThatItWasOne(directory: string, file: string): Promise<void> {
  if (fileRole(file)?.role === "index") return;
  try {
    await openCheckpointFile(directory, file);
  } catch (error) {
    if (error instanceof CheckpointError && error.kind !== "not-checkpoint") return;
    throw error;
  }
}
