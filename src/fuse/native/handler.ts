import type { FileSystem } from "../../fs/index.js";
import type { KnownDirectories } from "./known-directories.js";
import type { OpenModes } from "./open-modes.js";
import type { Outcome } from "./outcome.js";
import type { Reply } from "./reply.js";
import type { Request } from "./request.js";

/** What handlers work with: one object per session, the request in it being the current one. */
export interface HandlerContext {
  /** Valid until the handler returns. */
  readonly request: Request;
  readonly reply: Reply;
  readonly fileSystem: FileSystem;
  readonly openModes: OpenModes;
  readonly knownDirectories: Pick<KnownDirectories, "missed">;
  /** close(2) of a file opened for writing must reach the filesystem. */
  readonly flushOnClose: boolean;
  syncAll(): Promise<void>;
}

/** Answers one kind of request. What it throws becomes an errno in one place, `session.ts`. */
export type Handler = (context: HandlerContext) => Outcome;
