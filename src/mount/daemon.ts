import { hostname } from "node:os";
import type { Logger } from "pino";
import { Deferred, formatBytes, ignore, PodfsError, systemClock } from "../base/index.js";
import { type MountOptions, PODFS_VERSION } from "../config/index.js";
import { composeMount } from "./compose.js";
import { ControlError } from "./control-error.js";
import type { DrainProgress, StopReport } from "./control-protocol.js";
import { serveControl } from "./control-server.js";
import type { LaunchReporter } from "./launch-protocol.js";
import { createLogger } from "./logger.js";
import { describeUsers, mountUsers } from "./mount-users.js";
import type { RunningMount } from "./running-mount.js";
import { setUpServerProcess } from "./server-process.js";
import { prepareStateDirectory } from "./state-directory.js";

/** The mount was ended with everything in the volume. */
const EXIT_OK = 0;
/** It ended, and something is left in the cache directory; or a promise of the code was broken. */
const EXIT_INCOMPLETE = 1;
/** What was written between the last upload and the unmount is small, and worth this much beyond the deadline. */
const FINAL_DRAIN_MS_MIN = 1_000;

type OnProgress = (progress: DrainProgress) => void;

/** See {@link DaemonModule}. */
export async function runDaemon(
  options: MountOptions,
  reporter: LaunchReporter,
  abandoned: AbortSignal,
): Promise<number> {
  setUpServerProcess();
  const paths = await prepareStateDirectory(options.stateDir, options.mountpoint, hostname());
  const log = createLogger(paths.log, options.foreground);
  // In the foreground the log is the terminal, where a mount that is refused is one line, and progress is shown anyway.
  if (!options.foreground) log.info({ version: PODFS_VERSION, options }, "mounting");
  try {
    const daemon = new Daemon(options, log);
    return await daemon.run(paths.controlSocket, reporter, abandoned);
  } catch (error) {
    // There the command says in one line what it can explain.
    if (!options.foreground || !(error instanceof PodfsError)) log.error({ err: error }, "not mounted");
    throw error;
  } finally {
    log.flush();
  }
}

/** One mount from start to end, whoever ends it: a signal, `podfs umount`, umount(8), or a broken invariant. */
class Daemon {
  readonly #options: MountOptions;
  readonly #log: Logger;
  readonly #ended = new Deferred<number>();
  #mount: RunningMount | undefined;
  #stopping: Promise<StopReport> | undefined;

  constructor(options: MountOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  async run(controlSocket: string, reporter: LaunchReporter, abandoned: AbortSignal): Promise<number> {
    const mount = await composeMount(this.#options, {
      clock: systemClock,
      log: this.#log,
      abandoned,
      onProgress: (text) => reporter.progress(text),
      onUnmounted: (error) => void this.#unmountedByOthers(error),
      onInvariant: (error) => this.#crash(error),
    });
    this.#mount = mount;
    const control = await serveControl(controlSocket, {
      ping: () => ({ pid: process.pid, version: PODFS_VERSION }),
      status: () => ({ ...mount.status(), state: this.#stopping === undefined ? mount.status().state : "stopping" }),
      flush: (onProgress) => this.#flush(mount, onProgress),
      drop: (paths) => mount.drop(paths),
      stop: (drainTimeoutMs, onProgress) => this.#stop(mount, { drainTimeoutMs, lazy: false, onProgress }),
    }).catch(async (error: unknown) => {
      await mount.unmount({ lazy: true });
      await mount.close();
      throw error;
    });
    const onSignal = (signal: NodeJS.Signals): void => {
      this.#log.info({ signal }, "told to end");
      const { drainTimeoutMs } = this.#options;
      void this.#stop(mount, { drainTimeoutMs, lazy: true, onProgress: ignore }).catch((error: Error) =>
        this.#crash(error),
      );
    };
    process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
    // A terminal that closes ends a foreground mount as politely as Ctrl-C does.
    process.on("SIGHUP", onSignal);
    const begun = this.#options.foreground ? { version: PODFS_VERSION, options: this.#options } : {};
    this.#log.info({ ...begun, ...mount.summary }, "mounted");
    reporter.ready(mount.summary);
    const exitCode = await this.#ended.promise;
    await control.close();
    return exitCode;
  }

  async #flush(mount: RunningMount, onProgress: OnProgress): Promise<{ durationMs: number }> {
    const startMs = systemClock.monotonicMs();
    const done = mount.flush().then(() => true);
    while (!(await Promise.race([done, systemClock.sleep(500).then(() => false)]))) onProgress(mount.pending());
    return { durationMs: Math.round(systemClock.monotonicMs() - startMs) };
  }

  /**
   * Publishes while the mount still answers, unmounts, publishes the rest. Refused (and undone) when the mount is busy
   * and the caller does not want it detached all the same.
   */
  #stop(
    mount: RunningMount,
    how: { readonly drainTimeoutMs: number; readonly lazy: boolean; readonly onProgress: OnProgress },
  ): Promise<StopReport> {
    this.#stopping ??= this.#stopOnce(mount, how).catch((error: unknown) => {
      this.#stopping = undefined;
      throw error;
    });
    return this.#stopping;
  }

  async #stopOnce(
    mount: RunningMount,
    how: { readonly drainTimeoutMs: number; readonly lazy: boolean; readonly onProgress: OnProgress },
  ): Promise<StopReport> {
    const startMs = systemClock.monotonicMs();
    const endMs = startMs + how.drainTimeoutMs;
    if (!how.lazy) await this.#refuseIfBusy();
    const everything = mount.flush().then(
      () => true,
      () => true,
    );
    while (systemClock.monotonicMs() < endMs) {
      const leftMs = endMs - systemClock.monotonicMs();
      if (await Promise.race([everything, systemClock.sleep(Math.min(500, leftMs)).then(() => false)])) break;
      how.onProgress(mount.pending());
    }
    await mount.unmount({ lazy: how.lazy }).catch(async (error: unknown) => {
      // Somebody entered it meanwhile.
      await this.#refuseIfBusy();
      throw error;
    });
    const leftMs = endMs - systemClock.monotonicMs();
    const drainMs = how.drainTimeoutMs === 0 ? 0 : Math.max(leftMs, FINAL_DRAIN_MS_MIN);
    return this.#finish(mount, { startMs, drainMs, onProgress: how.onProgress });
  }

  async #refuseIfBusy(): Promise<void> {
    const users = await mountUsers(this.#options.mountpoint);
    if (users.length === 0) return;
    throw new ControlError("busy", `${this.#options.mountpoint} is in use by ${describeUsers(users)}`);
  }

  async #unmountedByOthers(error: string): Promise<void> {
    const mount = this.#mount;
    if (mount === undefined || this.#stopping !== undefined) return;
    this.#log.warn({ error }, "the mount was ended from outside; publishing what is left");
    this.#stopping = this.#finish(mount, {
      startMs: systemClock.monotonicMs(),
      drainMs: this.#options.drainTimeoutMs,
      onProgress: ignore,
    });
    await this.#stopping.catch((failure: Error) => this.#crash(failure));
  }

  /** No request comes any more: publish what is left, close everything, say what could not be sent. */
  async #finish(
    mount: RunningMount,
    how: { readonly startMs: number; readonly drainMs: number; readonly onProgress: OnProgress },
  ): Promise<StopReport> {
    const left = await mount.drain(how.drainMs, how.onProgress);
    await mount.close();
    const report: StopReport = {
      pendingFiles: left.pendingFiles,
      pendingBytes: left.pendingBytes,
      pendingOperations: left.pendingOperations,
      cacheDir: mount.summary.cacheDir,
      durationMs: Math.round(systemClock.monotonicMs() - how.startMs),
      ...(left.lastError !== undefined && { lastError: left.lastError }),
    };
    const complete = left.pendingFiles === 0 && left.pendingOperations === 0;
    if (complete) this.#log.info(report, "unmounted; everything is in the volume");
    else {
      this.#log.warn(
        report,
        `unmounted; ${left.pendingFiles} files (${formatBytes(left.pendingBytes)}) are left in ${report.cacheDir}, for the next mount`,
      );
    }
    // After the answer to whoever asked has left.
    setImmediate(() => this.#ended.resolve(complete ? EXIT_OK : EXIT_INCOMPLETE));
    return report;
  }

  /** A promise the code makes to itself is broken: better no mount than a wrong one. The cache directory keeps all. */
  #crash(error: Error): void {
    this.#log.fatal({ err: error }, "the mount is ended: podfs broke one of its own rules; please report this");
    void this.#mount?.unmount({ lazy: true }).finally(() => this.#ended.resolve(EXIT_INCOMPLETE));
  }
}
