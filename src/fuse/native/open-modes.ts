import { constants } from "node:os";
import type { HandleId } from "../../base/index.js";
import type { OpenedFile } from "../../fs/index.js";
import type { FuseSession } from "../../native/index.js";

const { EPERM, ELOOP, EOPNOTSUPP, ENOTTY } = constants.errno;

type OpenContent = OpenedFile["content"];

/** What is true of every file of the mount when the kernel says it of one. */
const HOPELESS = new Map<number, string>([
  [EPERM, "the kernel refuses backing files: that takes CAP_SYS_ADMIN in the initial user namespace"],
  [ELOOP, "the cache directory is on too many stacked filesystems for the kernel; put it on another disk"],
  [EOPNOTSUPP, "the cache directory's filesystem cannot back passthrough; put it on another disk"],
  [ENOTTY, "this kernel has no FUSE passthrough (Linux 6.9 and later have)"],
]);

/** The handles of one content file. */
interface OpenFile {
  readonly content: OpenContent;
  /** Of the kernel's registration of it; 0 when the engine serves its handles. */
  readonly backingId: number;
  handles: number;
}

export interface OpenModesOptions {
  readonly session: Pick<FuseSession, "bind" | "unbind" | "openBacking" | "closeBacking">;
  onPassthroughLost(reason: string): void;
}

/**
 * How the kernel moves the bytes of each open file: to and from the content file itself, or through the engine.
 *
 * The kernel refuses to mix the two on one inode, and two backing files for one (fs/fuse/iomode.c): so the first handle
 * decides for all that are opened until the last is released. By the time a RELEASE comes here, the kernel has left that
 * mode itself.
 */
export class OpenModes {
  readonly #options: OpenModesOptions;
  // Invariant: each file in #handles is in #files, with as many handles as it has there; and no others.
  readonly #files = new Map<OpenContent, OpenFile>();
  readonly #handles = new Map<HandleId, OpenFile>();
  #lost = false;

  constructor(options: OpenModesOptions) {
    this.#options = options;
  }

  /** Takes a new handle in. Returns the backing id that goes into the reply; 0 when the engine serves it. */
  enter(handle: HandleId, content: OpenContent): number {
    const file = this.#files.get(content) ?? this.#register(content);
    file.handles += 1;
    this.#handles.set(handle, file);
    if (file.backingId === 0) this.#options.session.bind(handle, content.file);
    return file.backingId;
  }

  /** What is open now: a copy, so that they may leave meanwhile. */
  handles(): readonly HandleId[] {
    return [...this.#handles.keys()];
  }

  leave(handle: HandleId): void {
    const file = this.#handles.get(handle);
    if (file === undefined) return;
    this.#handles.delete(handle);
    if (file.backingId === 0) this.#options.session.unbind(handle);
    file.handles -= 1;
    if (file.handles > 0) return;
    this.#files.delete(file.content);
    if (file.backingId !== 0) this.#options.session.closeBacking(file.backingId);
  }

  #register(content: OpenContent): OpenFile {
    const backingId = content.mode === "passthrough" && !this.#lost ? this.#openBacking(content) : 0;
    const file = { content, backingId, handles: 0 };
    this.#files.set(content, file);
    return file;
  }

  #openBacking(content: OpenContent): number {
    const backingId = this.#options.session.openBacking(content.file);
    if (backingId > 0) return backingId;
    const reason = HOPELESS.get(-backingId);
    if (reason !== undefined) {
      this.#lost = true;
      this.#options.onPassthroughLost(reason);
    }
    return 0;
  }
}
