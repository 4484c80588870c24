import { PodfsError } from "../base/index.js";

export type FuseErrorKind =
  /** This transport cannot be had here; the message says why, and what to install. */
  | "transport-unavailable"
  /** The kernel or fusermount3 refused the mount. */
  | "mount-failed"
  /** Somebody has files open in the mount, or is in one of its directories. */
  | "busy"
  | "unmount-failed";

/** Why a mount could not be made, or ended. */
export class FuseError extends PodfsError<FuseErrorKind> {
  override readonly name = "FuseError";
}

/** The errno name of a system error (`EBUSY`), as Node and the addon attach it. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
