import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/index.js";
import {
  EXCLUSIVE_VALIDITY,
  type MountedTransport,
  type Transport,
  type TransportOptions,
} from "../../src/fuse/index.js";
import { loadAddon } from "../../src/native/index.js";
import { TinyFileSystem, type TinyFileSystemOptions } from "./tiny-file-system.js";

/** A {@link TinyFileSystem} mounted by a transport in a temporary directory, in this process: touch it from others. */
export class TinyMount {
  /** What the transport reported: failures, broken invariants, its end. */
  readonly reports: string[] = [];

  private constructor(
    readonly directory: string,
    readonly fileSystem: TinyFileSystem,
    private transport: MountedTransport | undefined,
  ) {}

  static async create(
    transport: Transport,
    mode: TinyFileSystemOptions["mode"],
    changes: Partial<TransportOptions> = {},
  ): Promise<TinyMount> {
    const directory = await mkdtemp(join(tmpdir(), "podfs-fuse-"));
    await mkdir(join(directory, "mnt"));
    const fileSystem = new TinyFileSystem({ addon: loadAddon(), directory: join(directory, "content"), mode });
    const mount = new TinyMount(directory, fileSystem, undefined);
    mount.transport = await transport.mount(fileSystem, { ...mount.#options(mode), ...changes });
    return mount;
  }

  get mountpoint(): string {
    return join(this.directory, "mnt");
  }

  get mounted(): MountedTransport {
    if (this.transport === undefined) throw new Error("not mounted any more");
    return this.transport;
  }

  async unmount(options?: { readonly lazy: boolean }): Promise<void> {
    await this.mounted.unmount(options);
    this.transport = undefined;
  }

  /** Unmounts, whatever is still going on in it, and removes everything. */
  async dispose(): Promise<void> {
    if (this.transport !== undefined) await this.unmount({ lazy: true });
    this.fileSystem.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  #options(mode: TinyFileSystemOptions["mode"]): TransportOptions {
    const report =
      (what: string) =>
      (details: object | string, message = "") => {
        const error = typeof details === "object" && "err" in details ? String(details.err) : "";
        this.reports.push(`${what} ${typeof details === "string" ? details : ""}${message} ${error}`.trim());
      };
    return {
      mountpoint: this.mountpoint,
      source: "tiny",
      readOnly: false,
      allowOther: true,
      validity: EXCLUSIVE_VALIDITY,
      passthrough: mode === "passthrough",
      maxStackDepth: 1,
      flushOnClose: false,
      clock: systemClock,
      log: { warn: report("warn:"), error: report("error:") },
      syncAll: async () => undefined,
      onPassthroughLost: report("no passthrough:"),
      onInvariant: (error) => report("invariant:")(error.message),
      onEnd: report("end:"),
    };
  }
}
