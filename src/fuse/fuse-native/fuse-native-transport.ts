import { type Clock, Deferred, type Timer } from "../../base/index.js";
import type { FileSystem, MaybePromise } from "../../fs/index.js";
import { Errno } from "../errno.js";
import { FailureReport } from "../failure-report.js";
import { FuseError, messageOf } from "../fuse-error.js";
import type { MountedTransport, Transport, TransportOptions } from "../transport.js";
import { HandleNumbers } from "./handle-numbers.js";
import { isMounted, unmountByHelper } from "./mount-helper.js";
import { operationsOf } from "./operations.js";
import { type Done, loadPackage, type PackageFuse, type PackageOptions } from "./package.js";
import { Paths } from "./paths.js";
import { repairMount, repairPackage } from "./repairs.js";

const PASSTHROUGH_REASON = "the fuse-native transport cannot";
/** It cannot take back what it has told the kernel about names. */
const NAMES_VALID_MS_MAX = 1000;
const LOOK_FOR_MOUNT_EVERY_MS = 1000;
/** libfuse's option string has 1024 bytes, and more than the source in it. */
const SOURCE_CHARS_MAX = 600;
const NOBODY_IN_PARTICULAR = 0;

/**
 * The npm package fuse-native over libfuse 2, for machines where the addon cannot be built.
 *
 * What it cannot do: passthrough; fallocate, copy_file_range, SEEK_HOLE, O_TMPFILE, renameat2 flags; names that are not
 * UTF-8; times finer than milliseconds or before 1970; setting one of atime and mtime alone; telling who asks, so that
 * new files belong to who mounted. A deleted open file is a `.fuse_hidden…` until it is closed.
 */
export class FuseNativeTransport implements Transport {
  readonly name = "fuse-native";

  async mount(fileSystem: FileSystem, options: TransportOptions): Promise<MountedTransport> {
    const mount = new FuseNativeMount(fileSystem, options);
    await mount.start();
    return mount;
  }
}

class FuseNativeMount implements MountedTransport {
  readonly name = "fuse-native";
  readonly passthrough = false;
  readonly passthroughReason = PASSTHROUGH_REASON;
  readonly #fileSystem: FileSystem;
  readonly #options: TransportOptions;
  readonly #clock: Clock;
  readonly #failures: FailureReport;
  readonly #handles = new HandleNumbers();
  readonly #counters = new Map<string, number>();
  readonly #fuse: PackageFuse;
  // While set, writes wait for it.
  #gate: Deferred | undefined;
  #look: Timer | undefined;
  #over = false;

  constructor(fileSystem: FileSystem, options: TransportOptions) {
    this.#fileSystem = fileSystem;
    this.#options = options;
    this.#clock = options.clock;
    this.#failures = new FailureReport(options);
    const Fuse = repairPackage(loadPackage());
    const operations = operationsOf({
      fileSystem,
      paths: new Paths(fileSystem),
      handles: this.#handles,
      caller: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: NOBODY_IN_PARTICULAR },
      writeAllowed: () => this.#gate?.promise,
      answer: (operation, done, run, reply) => void this.#answer(operation, done as Done, run, reply),
    });
    this.#fuse = repairMount(new Fuse(options.mountpoint, operations, packageOptions(options)));
  }

  async start(): Promise<void> {
    const { mountpoint } = this.#options;
    const mounted = new Deferred();
    this.#fuse.mount((error) => (error === null ? mounted.resolve() : mounted.reject(error)));
    try {
      await mounted.promise;
    } catch (error) {
      throw new FuseError("mount-failed", `cannot mount on ${mountpoint}: ${messageOf(error)}`, { cause: error });
    }
    this.#watch();
  }

  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counters);
  }

  /** libfuse's high-level interface has no way to; what the kernel was told expires within a second. */
  invalidateInode(): void {}

  invalidateEntry(): void {}

  setWriteGate(open: boolean): void {
    if (!open) this.#gate ??= new Deferred();
    else {
      this.#gate?.resolve();
      this.#gate = undefined;
    }
  }

  async unmount({ lazy = false }: { readonly lazy?: boolean } = {}): Promise<void> {
    if (this.#over) return;
    if (await isMounted(this.#options.mountpoint)) await unmountByHelper(this.#options.mountpoint, lazy);
    await this.#end();
  }

  /** Runs an operation, and answers it exactly once. */
  async #answer<T>(
    operation: string,
    done: Done,
    run: () => MaybePromise<T>,
    reply: (value: T) => void = () => done(0),
  ): Promise<void> {
    this.#counters.set(operation, (this.#counters.get(operation) ?? 0) + 1);
    // Detached, but somebody still has files open in it: their handles are closed here already.
    if (this.#over) return done(-Errno.EIO);
    let value: T;
    try {
      value = await run();
    } catch (error) {
      return done(-this.#failures.errno(error, operation, NOBODY_IN_PARTICULAR));
    }
    reply(value);
  }

  /** The package does not say when somebody else has unmounted it. */
  #watch(): void {
    this.#look = this.#clock.setTimer(LOOK_FOR_MOUNT_EVERY_MS, () => {
      isMounted(this.#options.mountpoint)
        .then((mounted) => (mounted ? this.#watch() : this.#end()))
        .catch((error: unknown) => this.#options.log.error({ err: error }, "the mount table cannot be read"));
    });
  }

  async #end(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#look?.cancel();
    this.setWriteGate(true);
    const closed = new Deferred();
    this.#fuse.unmount(() => closed.resolve());
    await closed.promise;
    // No release will come for these any more.
    for (const handle of this.#handles.takeAll()) this.#fileSystem.release(handle);
    this.#options.onEnd("");
  }
}

function packageOptions(options: TransportOptions): PackageOptions {
  // The package knows neither option; what it takes for the name goes to libfuse as it is. Inode numbers of ours let
  // programs recognize hard links.
  const also = ["use_ino", ...(options.readOnly ? ["ro"] : [])];
  const source = options.source.slice(0, SOURCE_CHARS_MAX).replace(/[\\,]/g, "\\$&");
  return {
    timeout: false,
    allowOther: options.allowOther,
    defaultPermissions: true,
    fsname: [source, ...also].join(","),
    subtype: "podfs",
    entryTimeout: String(Math.min(options.validity.namesMs, NAMES_VALID_MS_MAX) / 1000),
    // Hard links are different files to libfuse: what changes through one would be outdated at the other.
    attrTimeout: "0",
  };
}
