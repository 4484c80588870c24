import { PodfsError } from "../base/index.js";

export type BenchmarkErrorKind =
  /** The directory is not there, is none, or cannot be written. */
  | "bad-directory"
  | "no-space"
  /** A system call failed where it should not have. */
  | "failed"
  | "interrupted";

export class BenchmarkError extends PodfsError<BenchmarkErrorKind> {
  override readonly name = "BenchmarkError";
}
