import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryStore, type ObjectStore } from "../../src/backend/index.js";
import { type ContentId, type Ino, type Name, type OpSeq, ROOT_INO, systemClock } from "../../src/base/index.js";
import {
  type ChunkRecord,
  contentKey,
  extentPrefix,
  inodeKey,
  type PackRecord,
  prefixEnd,
  type Time,
  xattrPrefix,
} from "../../src/format/index.js";
import type { OpenWriterOptions, WriterVolume } from "../../src/meta/index.js";
import {
  createVolume,
  InlineTasks,
  LmdbStore,
  type LocalFile,
  type Metadata,
  openWriter,
} from "../../src/meta/index.js";

export const name = (text: string) => text as Name;
export const time = (sec: number): Time => ({ sec, nsec: 7 });

/** A backend and cache directories of one test, removed at its end. */
export class MetaFixture {
  readonly folder = mkdtempSync(join(tmpdir(), "podfs-meta-"));
  readonly backend = new MemoryStore();
  readonly #open: WriterVolume[] = [];

  async create(): Promise<void> {
    await this.backend.probe();
    await createVolume(this.backend, systemClock);
  }

  cache(machine: string): string {
    return join(this.folder, machine);
  }

  /** Mounts the volume for writing on a machine of this name. */
  async writer(machine: string, options: Partial<OpenWriterOptions> = {}): Promise<WriterVolume> {
    const store = options.store ?? this.backend;
    const volume = await openWriter({
      store,
      tasks: new InlineTasks(store),
      clock: systemClock,
      folder: this.cache(machine),
      holder: { id: machine, host: `host-of-${machine}`, pid: 42, mountpoint: "/workspace" },
      root: { mode: 0o755, uid: 0, gid: 0 },
      contentExists: () => true,
      onError: (error) => {
        throw error;
      },
      bootId: "boot-1",
      ...options,
    });
    this.#open.push(volume);
    return volume;
  }

  /** What a kill -9 leaves: nothing is closed or given back, but the store, which one process cannot open twice. */
  async abandon(volume: WriterVolume): Promise<void> {
    this.#open.splice(this.#open.indexOf(volume), 1);
    await volume.metadata.close();
  }

  async close(): Promise<void> {
    for (const volume of this.#open) await volume.close().catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function shipAll(volume: WriterVolume): Promise<void> {
  await volume.log.ship(Array.from(volume.metadata.pendingOperations(), ({ seq }) => seq));
}

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

function inodeRecord(mode: number, sec: number) {
  const times = { atime: time(sec), mtime: time(sec), ctime: time(sec), btime: time(sec) };
  return { mode, uid: 1000, gid: 1000, nlink: 1, rdev: 0, target: "", ...times };
}

/** Creates an empty file as the filesystem does. */
export function createFile(metadata: Metadata, parent: Ino, fileName: string, sec = 100): Ino {
  return metadata.update((tx) => {
    const ino = tx.seq as number as Ino;
    tx.putInode(ino, inodeRecord(S_IFREG | 0o644, sec));
    tx.putContent(ino, { sizeBytes: 0, mtime: time(sec) }, []);
    tx.putDentry(parent, name(fileName), { ino, type: S_IFREG });
    tx.touch(parent, time(sec), 0);
    tx.dependsOn({ directories: [parent], content: ino });
    return ino;
  });
}

export function makeDirectory(metadata: Metadata, parent: Ino, directoryName: string, sec = 100): Ino {
  return metadata.update((tx) => {
    const ino = tx.seq as number as Ino;
    tx.putInode(ino, inodeRecord(S_IFDIR | 0o755, sec));
    tx.putDirectoryTimes(ino, { mtime: time(sec), ctime: time(sec), nlink: 2, seq: tx.seq });
    tx.putDentry(parent, name(directoryName), { ino, type: S_IFDIR });
    tx.touch(parent, time(sec), 1);
    tx.dependsOn({ directories: [parent] });
    return ino;
  });
}

export function removeFile(
  metadata: Metadata,
  parent: Ino,
  fileName: string,
  { sec = 200, unpublishedBytes = 0 } = {},
): void {
  metadata.update((tx) => {
    const dentry = tx.dentry(parent, name(fileName));
    if (dentry === undefined) throw new Error(`${fileName} is not there`);
    tx.deleteDentry(parent, name(fileName));
    tx.deleteInode(dentry.ino);
    tx.deleteContent(dentry.ino, unpublishedBytes);
    tx.touch(parent, time(sec), 0);
    tx.dependsOn({ directories: [parent] });
  });
}

export const localFile = (overrides: Partial<LocalFile> = {}): LocalFile => ({
  contentId: 5 as ContentId,
  dirty: true,
  complete: true,
  version: 0 as OpSeq,
  sizeBytes: 1234,
  mtime: time(100),
  generation: 1,
  dirtySinceMs: 1_700_000_000_000,
  trustEpoch: 1,
  diskBytes: 4096,
  lastUsedMs: 1_700_000_000_000,
  ...overrides,
});

export const packRecord = (digit: string): PackRecord => ({ id: digit.repeat(64) as PackRecord["id"], sizeBytes: 99 });
export const chunkRecord = (pack: number): ChunkRecord => ({
  pack,
  offset: 10,
  storedLength: 20,
  rawLength: 30,
  codec: 1,
});

/** Every name under the root, with what it leads to: what a user would see. */
export function treeOf(metadata: Metadata): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  const visit = (directory: Ino, path: string) => {
    tree[`${path}/`] = { inode: metadata.inode(directory), times: metadata.directoryTimes(directory) };
    for (const [entry, { ino }] of metadata.dentries(directory, undefined, 100_000)) {
      if (metadata.directoryTimes(ino) !== undefined) visit(ino, `${path}/${entry}`);
      else {
        const xattrs = metadata.xattrNames(ino).map((key) => [key, metadata.xattr(ino, key)?.toString()]);
        tree[`${path}/${entry}`] = { ino, inode: metadata.inode(ino), content: metadata.content(ino), xattrs };
      }
    }
  };
  visit(ROOT_INO, "");
  return tree;
}

/** Objects of the backend whose key starts with `prefix`. */
export async function keysOf(store: ObjectStore, prefix = ""): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

/** Kinds of the records that a closed store has of this inode, as `docs/FORMATS.md` calls their keys. */
export async function storedKinds(folder: string, ino: Ino): Promise<string[]> {
  const store = new LmdbStore(join(folder, "meta.lmdb"));
  const kinds = [contentKey(ino), inodeKey(ino), extentPrefix(ino), xattrPrefix(ino)].flatMap((prefix) =>
    store.read((view) =>
      Array.from(view.range(prefix, prefixEnd(prefix)), ([key]) => String.fromCharCode(key[0] ?? 0)),
    ),
  );
  await store.close();
  return kinds;
}
