import { Deferred, type Ino, ignore, type Name } from "../../base/index.js";
import type { FileSystem } from "../../fs/index.js";
import type { Addon, NegotiatedSession } from "../../native/index.js";
import { FuseError, messageOf, systemErrorCode } from "../fuse-error.js";
import type { MountedTransport, Transport, TransportOptions } from "../transport.js";
import { Session } from "./session.js";

/** A device that somebody else has mounted and passed to us. */
const PASSED_DEVICE = /^\/dev\/fd\/\d+$/;
/** fuse_notify_inval_inode: offset 0 and length 0 mean all pages; a negative offset, attributes only. */
const ALL_PAGES = { offset: 0, length: 0 };
/** The subtype makes it `fuse.podfs` in the mount table. */
const MOUNT_OPTIONS = ["subtype=podfs", "default_permissions", "nosuid", "nodev"];

/** The native engine on `/dev/fuse`: all operations, and passthrough where the kernel has it. */
export class NativeTransport implements Transport {
  readonly name = "native";
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  async mount(fileSystem: FileSystem, options: TransportOptions): Promise<MountedTransport> {
    const fd = await this.#openDevice(options);
    return NativeMount.start(this.#addon, fd, fileSystem, options);
  }

  /** Permissions are checked by the kernel; set-id programs and devices in a volume are not to be trusted. */
  async #openDevice({ mountpoint, source, readOnly, allowOther }: TransportOptions): Promise<number> {
    const mountOptions = [...MOUNT_OPTIONS, readOnly ? "ro" : "rw", ...(allowOther ? ["allow_other"] : [])];
    try {
      return await this.#addon.mountFuse(mountpoint, mountOptions.join(","), source);
    } catch (error) {
      throw new FuseError("mount-failed", `cannot mount on ${mountpoint}: ${messageOf(error)}`, { cause: error });
    }
  }
}

class NativeMount implements MountedTransport {
  readonly name = "native";
  readonly #addon: Addon;
  readonly #mountpoint: string;
  readonly #session: Session;
  readonly #ready = new Deferred<NegotiatedSession>();
  readonly #ended = new Deferred();
  #passthroughReason = "";
  #over = false;

  static async start(
    addon: Addon,
    fd: number,
    fileSystem: FileSystem,
    options: TransportOptions,
  ): Promise<NativeMount> {
    const mount = new NativeMount(addon, fd, fileSystem, options);
    try {
      mount.#session.start();
      const negotiated = await mount.#ready.promise;
      if (!negotiated.passthrough) mount.#passthroughReason = negotiated.passthroughReason;
      return mount;
    } catch (error) {
      mount.#session.native.stop();
      // What the kernel has mounted already would answer nobody.
      await mount.#detach(true).catch(ignore);
      throw error;
    }
  }

  private constructor(addon: Addon, fd: number, fileSystem: FileSystem, options: TransportOptions) {
    this.#addon = addon;
    this.#mountpoint = options.mountpoint;
    // Nobody may be waiting for it when the mount ends at once.
    this.#ready.promise.catch(ignore);
    this.#session = new Session(addon, fileSystem, {
      ...options,
      fd,
      onReady: (negotiated) => this.#ready.resolve(negotiated),
      onPassthroughLost: (reason) => {
        this.#passthroughReason = reason;
        options.onPassthroughLost(reason);
      },
      onEnd: (error) => {
        const why = error === "" ? "it was unmounted before it was ready" : error;
        this.#ready.reject(new FuseError("mount-failed", `cannot mount on ${this.#mountpoint}: ${why}`));
        this.#over = true;
        this.#ended.resolve();
        options.onEnd(error);
      },
    });
  }

  get passthrough(): boolean {
    return this.#passthroughReason === "";
  }

  get passthroughReason(): string {
    return this.#passthroughReason;
  }

  counters(): Readonly<Record<string, number>> {
    return this.#session.counters();
  }

  invalidateInode(ino: Ino): void {
    this.#session.native.invalidateInode(ino, ALL_PAGES.offset, ALL_PAGES.length);
  }

  invalidateEntry(parent: Ino, name: Name): void {
    this.#session.native.invalidateEntry(parent, Buffer.from(name, "latin1"));
  }

  setWriteGate(open: boolean): void {
    this.#session.native.setWriteGate(open);
  }

  async unmount({ lazy = false }: { readonly lazy?: boolean } = {}): Promise<void> {
    if (!this.#over) await this.#detach(lazy);
    if (lazy || this.#passed) this.#session.native.stop();
    await this.#ended.promise;
  }

  /** Who passed the device unmounts it; to close it is all there is to do here. */
  get #passed(): boolean {
    return PASSED_DEVICE.test(this.#mountpoint);
  }

  async #detach(lazy: boolean): Promise<void> {
    if (this.#passed) return;
    try {
      await this.#addon.unmountFuse(this.#mountpoint, lazy);
    } catch (error) {
      const code = systemErrorCode(error);
      // Somebody else has unmounted it; the end is near.
      if (code === "EINVAL" || code === "ENOENT") return;
      const kind = code === "EBUSY" ? "busy" : "unmount-failed";
      throw new FuseError(kind, `cannot unmount ${this.#mountpoint}: ${messageOf(error)}`, { cause: error });
    }
  }
}
