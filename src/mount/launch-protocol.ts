import type { MountOptions } from "../config/index.js";

/** What `podfs mount` says when it is done. */
export interface MountSummary {
  readonly pid: number;
  readonly mountpoint: string;
  readonly volumeUuid: string;
  readonly backend: string;
  readonly cacheDir: string;
  readonly cacheLimitBytes: number;
  readonly transport: string;
  readonly passthrough: boolean;
  /** Why there is no passthrough; empty when there is. */
  readonly passthroughReason: string;
  readonly readOnly: boolean;
  /** What the user should know, a line each: a dead mount was cleaned, the backend cannot fence writers … */
  readonly notices: readonly string[];
}

/** From `podfs mount` to the process that will serve the mount, over Node's IPC channel. */
export interface StartMessage {
  readonly type: "start";
  readonly options: MountOptions;
}

/** And back. After `ready` or `failed` the channel is closed. */
export type DaemonMessage =
  | { readonly type: "progress"; readonly text: string }
  | { readonly type: "ready"; readonly summary: MountSummary }
  /** One line that says what is wrong and what to do. */
  | { readonly type: "failed"; readonly message: string; readonly detail?: string };

/** What the serving side reports to, whether its user waits in another process or in this one (`--foreground`). */
export interface LaunchReporter {
  /** What is being done now: "reading the volume's metadata, 3 of 12 segments". */
  progress(text: string): void;
  /** The mount answers. */
  ready(summary: MountSummary): void;
}

/** The module `daemon.ts`, loaded only where a mount is served: it pulls in everything. */
export interface DaemonModule {
  /**
   * Mounts, reports `ready`, serves until the mount is unmounted or the process is told to end (SIGTERM, SIGINT,
   * control socket), drains.
   * @param abandoned aborts when whoever waited for the mount gave up before it was ready.
   * @returns the exit code of the process.
   * @throws UserError, or whatever kept it from mounting; nothing is left behind then.
   */
  runDaemon(options: MountOptions, reporter: LaunchReporter, abandoned: AbortSignal): Promise<number>;
}
