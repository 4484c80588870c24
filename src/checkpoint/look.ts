import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type CheckpointFile, type OpenFiles, openCheckpointFile } from "./checkpoint-file.js";
import { CheckpointError } from "./errors.js";

/** A file that cannot be part of a checkpoint. */
export interface BrokenFile {
  readonly fileName: string;
  readonly error: CheckpointError;
  /** The error's message, without the directory. */
  readonly reason: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

export type Looked = CheckpointFile | BrokenFile;

/** Why a checkpoint is not complete, if it is not. */
export type Problem = readonly [state: "incomplete" | "damaged", reason: string] | undefined;

/** Looks at a file's header. @param kept where the file stays open, if it is to. */
export async function look(directory: string, fileName: string, kept?: OpenFiles): Promise<Looked> {
  try {
    return await openCheckpointFile(directory, fileName, kept);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const path = join(directory, fileName);
    const stats = await stat(path).catch(() => undefined);
    const reason = error.message.replace(path, fileName);
    return { fileName, error, reason, sizeBytes: stats?.size ?? 0, modifiedMs: stats?.mtimeMs ?? 0 };
  }
}

/** One after the other: headers can be large. */
export async function lookAtAll(directory: string, files: readonly string[], kept?: OpenFiles): Promise<Looked[]> {
  const all: Looked[] = [];
  for (const file of files) all.push(await look(directory, file, kept));
  return all;
}

export function isFile(looked: Looked): looked is CheckpointFile {
  return !("error" in looked);
}

export function isThere(looked: Looked): boolean {
  return isFile(looked) || looked.error.kind !== "not-found";
}
