import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Deferred, type Ino, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { CacheDirectory, openContentCache } from "../../../src/cache/index.js";
import type { LocalCache } from "../../../src/cache/local-cache.js";
import { createFileSystem, type FileSystem } from "../../../src/fs/index.js";
import type { VolumeMetadata } from "../../../src/meta/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { createIpcCopiers, StagingServer } from "../../../src/staging/index.js";
import type { Transfer } from "../../../src/transfer/index.js";
import { nameOf, O_RDONLY, openTestVolume, ROOT_CALLER } from "../../support/fs-fixture.js";
import { StagingTestClient } from "../../support/staging-client.js";

const MIB = 1 << 20;

/** Nothing is uploaded or fetched here: every file is new. */
const noTransfer = new Proxy({} as Transfer, {
  get: (_, method) => () => Promise.reject(new Error(`${String(method)} has no backend in this test`)),
});

export interface TestOptions {
  readonly cacheBytes?: number;
  readonly memoryBytes?: number;
}

/** The staging server over a real filesystem, cache and disk; the kernel and the publisher are the test. */
export class StagingUnderTest {
  readonly folder = mkdtempSync(join(tmpdir(), "podfs-staging-"));
  /** What the kernel was told to forget. */
  readonly forgotten: string[] = [];
  /** Inodes that are to be published; {@link publish} lets them. */
  readonly #publishing: { readonly ino: Ino | "all"; readonly done: Deferred }[] = [];
  readonly clients: StagingTestClient[] = [];
  readOnly = false;
  metadata!: VolumeMetadata;
  fs!: FileSystem;
  cache!: LocalCache;
  server!: StagingServer;
  #directory!: CacheDirectory;

  static async start(options: TestOptions = {}): Promise<StagingUnderTest> {
    const under = new StagingUnderTest();
    await under.#start(options);
    return under;
  }

  async #start({ cacheBytes = 1024 * MIB, memoryBytes = 64 * MIB }: TestOptions): Promise<void> {
    const addon = loadAddon();
    const metadata = openTestVolume(join(this.folder, "meta"));
    this.metadata = metadata;
    this.#directory = CacheDirectory.open(join(this.folder, "cache"), addon);
    this.cache = await openContentCache({
      ...{ directory: this.#directory, metadata, addon, transfer: noTransfer, limitBytes: cacheBytes },
      freeSpaceBytes: 0,
      onProblem: () => undefined,
    });
    const wait = (ino: Ino | "all"): Promise<void> => {
      const done = new Deferred();
      this.#publishing.push({ ino, done });
      return done.promise;
    };
    const publisher = {
      syncInode: wait,
      syncAll: () => wait("all"),
      syncDirectory: async () => undefined,
    };
    this.fs = createFileSystem({
      ...{ metadata, cache: this.cache, publisher, clock: systemClock, durability: "fsync" },
      isReadOnly: () => this.readOnly,
    });
    const log = { info: () => undefined, warn: () => undefined };
    this.server = await StagingServer.listen({
      ...{ fileSystem: this.fs, cache: this.cache, metadata, publisher, addon, log, memoryBytes },
      kernel: {
        invalidateEntry: (parent, name) => void this.forgotten.push(`${parent}/${name}`),
        invalidateInode: (ino) => void this.forgotten.push(`${ino}`),
      },
      copiers: createIpcCopiers(() => undefined),
      socketPath: this.socketPath,
    });
  }

  get socketPath(): string {
    return join(this.folder, "staging");
  }

  async client(hello: Parameters<typeof StagingTestClient.connect>[1] = {}): Promise<StagingTestClient> {
    const client = await StagingTestClient.connect(this.socketPath, hello);
    this.clients.push(client);
    return client;
  }

  /** What waits to be published, until it is let. */
  get publishing(): readonly (Ino | "all")[] {
    return this.#publishing.map(({ ino }) => ino);
  }

  publish(error?: Error): void {
    for (const { done } of this.#publishing.splice(0)) {
      if (error === undefined) done.resolve();
      else done.reject(error);
    }
  }

  ino(name: string, parent: Ino = ROOT_INO): Ino {
    const { ino } = this.fs.lookup(parent, nameOf(name));
    this.fs.forget(ino, 1);
    return ino;
  }

  names(parent: Ino = ROOT_INO): string[] {
    const handle = this.fs.openDirectory(parent);
    const names = this.fs.readDirectory(handle, 0, 1000).map(({ name }) => name as string);
    this.fs.releaseDirectory(handle);
    return names.filter((name) => name !== "." && name !== "..");
  }

  async bytes(name: string, parent: Ino = ROOT_INO): Promise<Buffer> {
    const opened = await this.fs.open(this.ino(name, parent), O_RDONLY);
    const { content } = opened;
    const bytes = Buffer.alloc(content.stat().sizeBytes);
    if (bytes.length > 0) await content.file.read(bytes, 0);
    this.fs.release(opened.handle);
    return bytes;
  }

  async file(name: string, text: string, parent: Ino = ROOT_INO): Promise<Ino> {
    const { attributes, opened } = await this.fs.create(ROOT_CALLER, parent, nameOf(name), 0o644, 2);
    await opened.content.file.write(Buffer.from(text), 0);
    this.fs.release(opened.handle);
    return attributes.ino;
  }

  /** Content files that are neither spare nor of a file with a name: what a save that has failed must not leave. */
  leftovers(): string[] {
    const named = new Set(Array.from(this.metadata.dirtyFiles(), ([, local]) => local.contentId as number));
    const root = this.#directory.contentRoot;
    return readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => {
      const id = path.split("/")[1];
      return id !== undefined && !named.has(Number.parseInt(id, 16)) && sizeOf(join(root, path)) > 0;
    });
  }

  /** Dirty images of files that have no name. */
  unnamed(): Ino[] {
    const dirty = Array.from(this.metadata.dirtyFiles(), ([ino]) => ino);
    return dirty.filter((ino) => this.metadata.inode(ino) === undefined);
  }

  async dispose(): Promise<void> {
    for (const client of this.clients) if (!client.closed) await client.close();
    this.publish();
    await this.server.close();
    await this.cache.stop();
    await this.metadata.close();
    this.#directory.release();
    rmSync(this.folder, { recursive: true });
  }
}

function sizeOf(path: string): number {
  try {
    return readFileSync(path).length;
  } catch {
    return 0;
  }
}
