import type { StagingStatus } from "../staging/index.js";

/**
 * What the command line and a running mount say to each other: JSON lines over a unix socket (mode 0600, in a
 * directory of mode 0700). A connection carries one request; the mount answers with any number of `progress` messages
 * and then one `result` or `error`, and closes. A client that hangs up no longer waits; it does not undo anything.
 */

export interface ControlRequests {
  /** Are you there? */
  readonly ping: { readonly command: "ping" };
  readonly status: { readonly command: "status" };
  /** Resolves when everything written before it is durable in the volume. */
  readonly flush: { readonly command: "flush" };
  /** Evict the local copies of these files, and of all files below these directories. */
  readonly drop: {
    readonly command: "drop";
    /** Relative to the mount point, `/`-separated, one char per byte of a name; "" is everything. */
    readonly paths: readonly string[];
  };
  /**
   * Refuse if the mount is in use; else upload what is left until the deadline, unmount, end. A deadline of 0 uploads
   * nothing more.
   */
  readonly stop: { readonly command: "stop"; readonly drainTimeoutMs: number };
}

export interface ControlResults {
  readonly ping: { readonly pid: number; readonly version: string };
  readonly status: StatusReport;
  readonly flush: FlushReport;
  readonly drop: DropReport;
  readonly stop: StopReport;
}

export type ControlCommand = keyof ControlRequests;
export type ControlRequest = ControlRequests[ControlCommand];

/** What is not in the volume yet. */
export interface DrainProgress {
  readonly pendingFiles: number;
  readonly pendingBytes: number;
}

export type ControlFailureKind =
  /** Processes have files or working directories in the mount. */
  | "busy"
  /** This mount runs another version and does not know the command. */
  | "unknown-command"
  /** It tried and could not. */
  | "failed";

export type ControlReply<Command extends ControlCommand = ControlCommand> =
  | { readonly type: "progress"; readonly progress: DrainProgress }
  | { readonly type: "result"; readonly result: ControlResults[Command] }
  | { readonly type: "error"; readonly kind: ControlFailureKind; readonly message: string };

export interface FlushReport {
  readonly durationMs: number;
}

/** What was evicted, and why the rest was not. What had no local copy is in neither. */
export interface DropReport {
  readonly files: number;
  /** Taken off the local disk. */
  readonly bytes: number;
  /** Numbers of files. */
  readonly kept: {
    /** The only copy. */
    readonly notUploaded: number;
    readonly open: number;
    /** On their way here from the backend. */
    readonly fetching: number;
  };
}

/** What is left in the cache directory, to be sent by the next mount that uses it. */
export interface StopReport extends DrainProgress {
  /** Changes of names and attributes; those of the pending files are among them. */
  readonly pendingOperations?: number;
  readonly cacheDir: string;
  readonly durationMs: number;
  /** Why it could not be sent, if that is known. */
  readonly lastError?: string;
}

/** `podfs status --json`: keys are part of the interface and only ever added to. */
export interface StatusReport {
  readonly pid: number;
  readonly version: string;
  readonly uptimeMs: number;
  readonly state: "mounted" | "stopping" | "fenced";
  readonly mountpoint: string;
  readonly volume: { readonly uuid: string; readonly backend: string; readonly readOnly: boolean };
  readonly transport: string;
  readonly passthrough: boolean;
  /** Why there is no passthrough; empty when there is. */
  readonly passthroughReason: string;
  readonly durability: string;
  readonly cache: {
    readonly directory: string;
    readonly usedBytes: number;
    readonly limitBytes: number;
    readonly dirtyBytes: number;
  };
  readonly publish: {
    readonly pendingFiles: number;
    readonly pendingBytes: number;
    readonly pendingOperations: number;
    /** 0 when nothing is pending. */
    readonly oldestDirtyAgeMs: number;
    readonly lastError: string | null;
  };
  readonly backend: {
    readonly puts: number;
    readonly gets: number;
    readonly deletes: number;
    readonly putBytes: number;
    readonly getBytes: number;
    readonly retries: number;
    readonly errors: number;
  };
  /** Requests since the mount, by operation: `{"LOOKUP": 12, …}`. */
  readonly fuse: { readonly requests: Readonly<Record<string, number>> };
  readonly lease: { readonly epoch: number; readonly holder: string } | null;
  /** Null where this mount takes no checkpoints. */
  readonly staging: StagingStatus | null;
}
