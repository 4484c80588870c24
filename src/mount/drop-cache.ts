import { type Ino, type Name, ROOT_INO } from "../base/index.js";
import type { ContentCache } from "../cache/index.js";
import type { DentryRecord } from "../format/index.js";
import type { MountedTransport } from "../fuse/index.js";
import type { MetadataView } from "../meta/index.js";
import { ControlError } from "./control-error.js";
import type { DropReport } from "./control-protocol.js";

export interface DropTools {
  readonly metadata: Pick<MetadataView, "dentry" | "dentries" | "local">;
  readonly cache: Pick<ContentCache, "evict" | "opened"> & {
    /** Mirrors of packs would give back without a request what has just been dropped. */
    evictMirrors(): Promise<number>;
  };
  readonly mounted: Pick<MountedTransport, "invalidateInode">;
}

/** Entries read at once, and files evicted at a time, before requests are answered again. */
const BATCH = 32;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/**
 * Evicts the local copies of files, and of all files below directories, and makes the kernel forget their pages: the
 * next read of each comes from the backend. What the volume does not have yet, and what is in use, stays.
 * @param paths relative to the root, one char per byte; "" is everything.
 * @throws ControlError failed: no such path; then nothing was dropped.
 */
export async function dropFromCache(tools: DropTools, paths: readonly string[]): Promise<DropReport> {
  const roots = paths.map((path) => resolvePath(tools.metadata, path));
  const dropper = new Dropper(tools);
  for (const root of roots) {
    if (root.type === S_IFDIR) await dropper.dropTree(root.ino);
    else await dropper.dropFiles([root]);
  }
  await tools.cache.evictMirrors();
  return dropper.report;
}

/** Symlinks are not followed: who asks has resolved them. */
function resolvePath(metadata: DropTools["metadata"], path: string): DentryRecord {
  let found: DentryRecord = { ino: ROOT_INO, type: S_IFDIR };
  for (const name of path.split("/")) {
    if (name === "") continue;
    const dentry = metadata.dentry(found.ino, name as Name);
    if (dentry === undefined) {
      throw new ControlError("failed", `there is no ${Buffer.from(path, "latin1").toString()} in the volume`);
    }
    found = dentry;
  }
  return found;
}

type Kept = keyof DropReport["kept"];

class Dropper {
  readonly #tools: DropTools;
  readonly #kept: Record<Kept, number> = { notUploaded: 0, open: 0, fetching: 0 };
  /** A file with several names, or named several times, counts once. */
  readonly #keptInodes = new Set<Ino>();
  #files = 0;
  #bytes = 0;

  constructor(tools: DropTools) {
    this.#tools = tools;
  }

  get report(): DropReport {
    return { files: this.#files, bytes: this.#bytes, kept: { ...this.#kept } };
  }

  /** Requests are answered between any two batches: the tree may change meanwhile, and is walked as it is found. */
  async dropTree(root: Ino): Promise<void> {
    const directories = [root];
    for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
      let after: Name | undefined;
      for (;;) {
        const entries = this.#tools.metadata.dentries(directory, after, BATCH);
        for (const [, { ino, type }] of entries) if (type === S_IFDIR) directories.push(ino);
        await this.dropFiles(entries.map(([, dentry]) => dentry));
        await new Promise<void>((resume) => setImmediate(resume));
        if (entries.length < BATCH) break;
        after = entries.at(-1)?.[0];
      }
    }
  }

  /** Those of them that are regular files. */
  async dropFiles(dentries: readonly DentryRecord[]): Promise<void> {
    const files = dentries.filter(({ type }) => type === S_IFREG);
    await Promise.all(files.map(({ ino }) => this.#dropFile(ino)));
  }

  async #dropFile(ino: Ino): Promise<void> {
    const { metadata, cache, mounted } = this.#tools;
    const local = metadata.local(ino);
    if (local !== undefined) {
      const reason = this.#reasonToKeep(ino, local.dirty);
      if (reason !== undefined) {
        this.#keep(ino, reason);
        return;
      }
      if (!(await cache.evict(ino))) {
        this.#keep(ino, this.#reasonToKeep(ino, metadata.local(ino)?.dirty === true) ?? "fetching");
        return;
      }
      this.#files++;
      this.#bytes += local.diskBytes;
    }
    // Also of what is not here any more: the kernel may still have pages from when it was.
    mounted.invalidateInode(ino);
  }

  #reasonToKeep(ino: Ino, dirty: boolean): Kept | undefined {
    if (dirty) return "notUploaded";
    return this.#tools.cache.opened(ino) === undefined ? undefined : "open";
  }

  #keep(ino: Ino, reason: Kept): void {
    if (this.#keptInodes.has(ino)) return;
    this.#keptInodes.add(ino);
    this.#kept[reason]++;
  }
}
