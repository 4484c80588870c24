import { PodfsError } from "../base/index.js";
import type { StagingErrorKind } from "../staging/protocol.js";

export type CheckpointErrorKind =
  /** As a mount says it; in mode "file", what the filesystem said. */
  | StagingErrorKind
  /** No mount takes checkpoints for this directory, and the mode that was asked for needs one. */
  | "no-mount"
  /** The mount went away in the middle. Saves that were not committed have left nothing behind. */
  | "disconnected"
  /** Not a tensor, or not one that safetensors can hold. */
  | "invalid-tensor"
  /** What is to be loaded, or loaded into, does not fit the checkpoint: names, dtypes or shapes. */
  | "mismatch"
  /** Files of some ranks are missing. */
  | "incomplete"
  /** The file breaks a rule of its format, or ends too early. */
  | "damaged"
  /** The file is none that podfs would call a checkpoint. */
  | "not-checkpoint"
  /** The stager has been closed. */
  | "closed";

/** A checkpoint cannot be saved, loaded, verified or removed: one line that says what is wrong. */
export class CheckpointError extends PodfsError<CheckpointErrorKind> {
  override readonly name = "CheckpointError";
}

/** What a failed system call means for a checkpoint; any other error as it is. */
export function checkpointError(error: unknown, what: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (error instanceof CheckpointError || typeof code !== "string") return error;
  const { message } = error as Error;
  return new CheckpointError(kindOf(code), `${what}: ${reasonOf(code) ?? message}`, { cause: error });
}

/** Runs a task and throws what {@link checkpointError} makes of its error. */
export async function withErrors<T>(what: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw checkpointError(error, what);
  }
}

function kindOf(code: string): CheckpointErrorKind {
  switch (code) {
    case "ENOENT":
      return "not-found";
    case "EEXIST":
      return "exists";
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return "no-space";
    case "ENOMEM":
      return "no-memory";
    case "ENOTDIR":
      return "not-directory";
    case "EISDIR":
      return "is-directory";
    case "ENAMETOOLONG":
      return "invalid-name";
    case "EROFS":
      return "read-only";
    case "EACCES":
    case "EPERM":
      return "not-permitted";
    case "ECUDA":
      return "device";
    default:
      return "io";
  }
}

function reasonOf(code: string): string | undefined {
  switch (code) {
    case "ENOENT":
      return "there is no such file or directory";
    case "EEXIST":
      return "it exists";
    case "ENOSPC":
      return "there is no room on the disk";
    case "ENOTDIR":
      return "it is not a directory";
    case "EROFS":
      return "the filesystem is read-only";
    case "EACCES":
    case "EPERM":
      return "it may not be accessed";
    case "ENOTCONN":
      return "the mount it is in is dead";
    default:
      return undefined;
  }
}
