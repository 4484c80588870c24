import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, type Ino, type Name, ROOT_INO, systemClock } from "../../src/base/index.js";
import { nowOf, type Time } from "../../src/format/index.js";
import { type Attributes, createFileSystem, type FileSystem, type FileSystemOptions } from "../../src/fs/index.js";
import { LmdbStore, VolumeMetadata } from "../../src/meta/index.js";
import { emptyPosition, findPosition, writePosition } from "../../src/meta/volume-position.js";
import { ManualClock } from "./manual-clock.js";
import { SimulatedContentCache } from "./simulated-content-cache.js";

export const ROOT_CALLER = { uid: 0, gid: 0, pid: 1 };
export const USER = { uid: 1000, gid: 1000, pid: 2 };
/** The root's uid and gid, so that inheritance of the group shows. */
const ROOT_OWNER = { uid: 0, gid: 50 };

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;

/** Every look at the clock is a millisecond later than the one before, so that no two operations have the same time. */
export class TickingClock extends ManualClock {
  #looks = 0;

  override fileTimeMs(): number {
    this.#looks += 1;
    return super.fileTimeMs() + this.#looks;
  }

  now(): Time {
    return nowOf(this);
  }
}

/** A filesystem over real metadata (LMDB in a temporary folder) and a simulated cache. */
export class FsFixture {
  readonly #folder = mkdtempSync(join(tmpdir(), "podfs-fs-"));
  readonly #options: Partial<FileSystemOptions>;
  readonly clock = new TickingClock();
  /** What the publisher was asked for. */
  readonly published: string[] = [];
  metadata: VolumeMetadata;
  cache: SimulatedContentCache;
  fs: FileSystem;

  constructor(options: Partial<FileSystemOptions> = {}) {
    this.#options = options;
    this.metadata = openTestVolume(join(this.#folder, "meta"), this.clock);
    this.cache = new SimulatedContentCache(this.metadata, () => this.clock.now());
    this.fs = this.#compose();
  }

  /** What a mount after kill -9 finds. */
  async restart(): Promise<void> {
    await this.metadata.close();
    this.metadata = openTestVolume(join(this.#folder, "meta"), this.clock);
    this.cache = this.cache.reopened(this.metadata);
    this.fs = this.#compose();
  }

  async dispose(): Promise<void> {
    await this.metadata.close();
    rmSync(this.#folder, { recursive: true });
  }

  /** Makes an empty regular file and closes it. */
  async file(name: string, parent: Ino = ROOT_INO, mode = 0o644): Promise<Ino> {
    const { attributes, opened } = await this.fs.create(ROOT_CALLER, parent, nameOf(name), mode, O_WRONLY);
    this.fs.release(opened.handle);
    return attributes.ino;
  }

  directory(name: string, parent: Ino = ROOT_INO, mode = 0o755): Ino {
    return this.fs.makeDirectory(ROOT_CALLER, parent, nameOf(name), mode).ino;
  }

  lookup(name: string, parent: Ino = ROOT_INO): Attributes {
    const attributes = this.fs.lookup(parent, nameOf(name));
    this.fs.forget(attributes.ino, 1);
    return attributes;
  }

  attributes(ino: Ino): Attributes {
    return this.fs.getAttributes(ino);
  }

  /** All names in a directory but the dots, asked for `batch` at a time. */
  names(ino: Ino = ROOT_INO, batch = 100): string[] {
    const handle = this.fs.openDirectory(ino);
    const names: string[] = [];
    for (let cookie = 0; ; ) {
      const entries = this.fs.readDirectory(handle, cookie, batch);
      names.push(...entries.map((entry) => entry.name));
      if (entries.length < batch) break;
      cookie = entries.at(-1)!.cookie;
    }
    this.fs.releaseDirectory(handle);
    return names.filter((name) => name !== "." && name !== "..");
  }

  #compose(): FileSystem {
    return createFileSystem({
      metadata: this.metadata,
      cache: this.cache,
      publisher: {
        syncInode: async (ino) => void this.published.push(`inode ${ino}`),
        syncDirectory: async (ino) => void this.published.push(`directory ${ino}`),
      },
      clock: this.clock,
      durability: "fsync",
      isReadOnly: () => false,
      ...this.#options,
    });
  }
}

export function nameOf(text: string): Name {
  return Buffer.from(text, "utf8").toString("latin1") as Name;
}

/** The kind of the error that `run` throws; "none" when it throws none. */
export function kindOf(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (error) {
    return (error as { readonly kind?: string }).kind ?? String(error);
  }
}

/** Real metadata in a file of its own, of a volume that holds an empty root when it is opened first. */
export function openTestVolume(path: string, clock: Clock = systemClock): VolumeMetadata {
  const store = new LmdbStore(path);
  if (store.read(findPosition) !== undefined) return new VolumeMetadata({ store });
  store.transact((tx) => writePosition(tx, emptyPosition("test")));
  const metadata = new VolumeMetadata({ store });
  const time = nowOf(clock);
  metadata.update((tx) => {
    const times = { atime: time, mtime: time, ctime: time, btime: time };
    tx.putInode(ROOT_INO, { mode: 0o40755, ...ROOT_OWNER, nlink: 1, rdev: 0, target: "", ...times });
    tx.putDirectoryTimes(ROOT_INO, { mtime: time, ctime: time, nlink: 2, seq: tx.seq });
  });
  return metadata;
}
