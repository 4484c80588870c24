import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createObjectStore, type ObjectStore } from "../../../src/backend/index.js";
import type { Ino } from "../../../src/base/index.js";
import {
  CacheDirectory,
  type ContentCacheOptions,
  type OpenContent,
  openContentCache,
} from "../../../src/cache/index.js";
import type { LocalCache } from "../../../src/cache/local-cache.js";
import { LmdbStore, VolumeMetadata } from "../../../src/meta/index.js";
import { emptyPosition, findPosition, writePosition } from "../../../src/meta/volume-position.js";
import { loadAddon } from "../../../src/native/index.js";
import { uploadFiles } from "../../../src/publish/upload-job.js";
import { type Transfer, WorkerTransfer } from "../../../src/transfer/index.js";
import { workerOption } from "../transfer/start-transfer.js";

export const READ = { write: false, truncate: false, passthroughAllowed: true } as const;
export const WRITE = { write: true, truncate: false, passthroughAllowed: true } as const;
export const TRUNCATE = { write: true, truncate: true, passthroughAllowed: true } as const;
/** For vi.waitFor, whose own second is too short for a busy machine. */
export const PATIENTLY = { timeout: 60_000 };
/** What ends waiting in tests of giving up is theirs; all others wait as long as a busy machine takes. */
const PATIENCE_MS = 60_000;
export const TIME = { sec: 1_000_000, nsec: 5 };

export type TestOptions = Partial<Pick<ContentCacheOptions, "limitBytes" | "roomWaitMs">> & {
  readonly fetchDeadlineMs?: number;
};

/** A real cache: LMDB, worker threads, the addon's content files, a directory as backend. */
export class CacheUnderTest {
  readonly problems: string[] = [];
  private constructor(
    readonly root: string,
    readonly directory: CacheDirectory,
    readonly metadata: VolumeMetadata,
    readonly transfer: WorkerTransfer,
    readonly store: ObjectStore,
    private readonly options: TestOptions,
  ) {}
  cache!: LocalCache;

  static async start(options: TestOptions = {}, root?: string): Promise<CacheUnderTest> {
    const at = root ?? (await mkdtemp(join(tmpdir(), "podfs-cache-")));
    const directory = CacheDirectory.open(join(at, "cache"), loadAddon());
    const lmdb = new LmdbStore(join(at, "meta.lmdb"));
    lmdb.transact((tx) => findPosition(tx) ?? writePosition(tx, emptyPosition("test")));
    const metadata = new VolumeMetadata({ store: lmdb });
    const path = join(at, "backend");
    await mkdir(path, { recursive: true });
    const backend = { kind: "directory", path } as const;
    const { fetchDeadlineMs = PATIENCE_MS } = options;
    const transfer = new WorkerTransfer({ backend, threads: 2, closeGraceMs: 200, fetchDeadlineMs, ...workerOption() });
    const under = new CacheUnderTest(at, directory, metadata, transfer, await createObjectStore(backend), options);
    under.cache = await openContentCache(under.cacheOptions());
    return under;
  }

  cacheOptions(transfer: Transfer = this.transfer): ContentCacheOptions {
    const { directory, metadata, problems } = this;
    return {
      ...{ directory, metadata, transfer },
      addon: loadAddon(),
      limitBytes: this.options.limitBytes ?? 2 ** 40,
      freeSpaceBytes: 0,
      roomWaitMs: this.options.roomWaitMs ?? PATIENCE_MS,
      onProblem: (message) => problems.push(message),
    };
  }

  /** Ends everything, in the order a mount does. */
  async end(): Promise<void> {
    await this.transfer.close();
    await this.cache.stop();
    await this.metadata.close();
    this.directory.release();
  }

  async restart(options: TestOptions = this.options): Promise<CacheUnderTest> {
    await this.end();
    return CacheUnderTest.start(options, this.root);
  }

  async cleanUp(): Promise<void> {
    await this.end();
    await rm(this.root, { recursive: true, force: true });
  }

  /** A new, empty file, open for writing by one. */
  async create(): Promise<OpenContent> {
    for (;;) {
      const content = this.metadata.update((tx) => {
        const ino = tx.seq as number as Ino;
        tx.putInode(ino, inodeRecord());
        tx.putContent(ino, { sizeBytes: 0, mtime: TIME }, []);
        return this.cache.create(tx, ino, TIME, true);
      });
      if (content !== undefined) return content;
      await this.cache.spareReady();
    }
  }

  /** A closed file with these bytes, dirty. */
  async write(bytes: Uint8Array): Promise<Ino> {
    const content = await this.create();
    if (bytes.length > 0) await content.file.write(bytes, 0);
    this.cache.close(content, WRITE);
    return content.ino;
  }

  /** Closed files with these bytes, clean: uploaded together, and recorded in the metadata. */
  async publish(...contents: readonly Uint8Array[]): Promise<Ino[]> {
    const inodes: Ino[] = [];
    for (const bytes of contents) inodes.push(await this.write(bytes));
    await this.upload(...inodes);
    return inodes;
  }

  async upload(...inodes: readonly Ino[]): Promise<void> {
    const files = inodes.flatMap((ino) => {
      const source = this.cache.beginUpload(ino);
      return source === undefined ? [] : [{ ino, source }];
    });
    await uploadFiles(this, files, "normal", new AbortController().signal);
    await settled();
  }

  async read(ino: Ino): Promise<Buffer> {
    const content = await this.cache.open(ino, READ);
    try {
      const bytes = Buffer.alloc(content.stat().sizeBytes);
      const count = await content.file.read(bytes, 0);
      return bytes.subarray(0, count);
    } finally {
      this.cache.close(content, READ);
    }
  }
}

function inodeRecord() {
  const owner = { uid: 0, gid: 0, nlink: 1, rdev: 0, target: "" };
  return { mode: 0o100644, ...owner, atime: TIME, mtime: TIME, ctime: TIME, btime: TIME };
}

/** After what was deferred to the end of a transaction. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
