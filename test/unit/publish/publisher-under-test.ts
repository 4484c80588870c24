import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, vi } from "vitest";
import { createObjectStore, type ObjectStore, openBackend, withRetry } from "../../../src/backend/index.js";
import { type Clock, Deferred, type HandleId, type Ino, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { CacheDirectory, openContentCache } from "../../../src/cache/index.js";
import type { LocalCache } from "../../../src/cache/local-cache.js";
import { decodeChunk, packObjectKey } from "../../../src/format/index.js";
import { createFileSystem, type FileSystem } from "../../../src/fs/index.js";
import {
  createVolume,
  type FollowerVolume,
  InlineTasks,
  type Metadata,
  openFollower,
  openWriter,
  type WriterVolume,
} from "../../../src/meta/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { BackgroundPublisher } from "../../../src/publish/index.js";
import { WorkerTransfer } from "../../../src/transfer/index.js";
import { nameOf, O_RDWR, USER } from "../../support/fs-fixture.js";
import { type S3TestServer, type S3Trouble, startS3Server } from "../../support/s3-server.js";
import { workerOption } from "../transfer/start-transfer.js";

export interface OpenedFile {
  readonly ino: Ino;
  readonly handle: HandleId;
  write(bytes: Uint8Array, offset?: number): Promise<void>;
  sync(): Promise<void>;
  close(): void;
}

export interface StartOptions {
  readonly clock?: Clock;
  /** The machine whose cache directory to go on with. */
  readonly from?: PublisherUnderTest;
}

/** Everything of a writing mount but the kernel, over an S3 server; and readers of what it publishes. */
export class PublisherUnderTest {
  readonly warnings: string[] = [];
  readonly #followers: FollowerVolume[] = [];

  private constructor(
    readonly root: string,
    readonly url: string,
    readonly store: ObjectStore,
    readonly volume: WriterVolume,
    readonly directory: CacheDirectory,
    readonly cache: LocalCache,
    readonly transfer: WorkerTransfer,
    readonly publisher: BackgroundPublisher,
    readonly fs: FileSystem,
    warnings: string[],
  ) {
    this.warnings = warnings;
  }

  static async start(
    server: S3TestServer,
    { clock = systemClock, from }: StartOptions = {},
  ): Promise<PublisherUnderTest> {
    const root = from?.root ?? (await mkdtemp(join(tmpdir(), "podfs-publish-")));
    const url = from?.url ?? (await server.createVolumeUrl());
    const backend = openBackend(url);
    const store = withRetry(await createObjectStore(backend), {});
    await store.probe();
    if (from === undefined) await createVolume(store, systemClock);
    const warnings: string[] = [];
    const addon = loadAddon();
    const directory = CacheDirectory.open(join(root, "cache"), addon);
    const volume = await openWriter({
      ...{ store, clock: systemClock, tasks: new InlineTasks(store), folder: join(root, "meta") },
      holder: { id: "writer", host: "here", pid: 1, mountpoint: "/workspace" },
      root: { mode: 0o755, uid: 0, gid: 0 },
      contentExists: () => true,
      onError: (error) => warnings.push(String(error)),
    });
    const { metadata, log } = volume;
    const transfer = new WorkerTransfer({ backend, threads: 2, closeGraceMs: 200, ...workerOption() });
    const cache = await openContentCache({
      ...{ directory, metadata, transfer, addon, limitBytes: 2 ** 40, freeSpaceBytes: 0 },
      onProblem: (message) => warnings.push(message),
    });
    const warn = (message: string, error: unknown): void => void warnings.push(`${message}: ${error}`);
    const publisher = new BackgroundPublisher({ metadata, cache, transfer, log, clock, warn });
    publisher.start();
    const common = { clock: systemClock, durability: "fsync", isReadOnly: () => !log.lease.held } as const;
    const fs = createFileSystem({ metadata, cache, publisher, ...common });
    return new PublisherUnderTest(root, url, store, volume, directory, cache, transfer, publisher, fs, warnings);
  }

  async create(name: string, parent: Ino = ROOT_INO): Promise<OpenedFile> {
    const { attributes, opened } = await this.fs.create(USER, parent, nameOf(name), 0o644, O_RDWR);
    return this.#opened(attributes.ino, opened);
  }

  async open(ino: Ino, flags: number): Promise<OpenedFile> {
    return this.#opened(ino, await this.fs.open(ino, flags));
  }

  /** A closed file with these bytes. */
  async write(name: string, bytes: Uint8Array, parent: Ino = ROOT_INO): Promise<Ino> {
    const file = await this.create(name, parent);
    await file.write(bytes);
    file.close();
    return file.ino;
  }

  rename(from: string, to: string, parent: Ino = ROOT_INO, newParent: Ino = parent): void {
    this.fs.rename(USER, parent, nameOf(from), newParent, nameOf(to), "replace");
  }

  makeDirectory(name: string): Ino {
    return this.fs.makeDirectory(USER, ROOT_INO, nameOf(name), 0o755).ino;
  }

  /** Another machine, which sees what is published. */
  async reader(): Promise<VolumeReader> {
    const folder = join(this.root, `reader-${this.#followers.length}`);
    const follower = await openFollower({
      clock: systemClock,
      store: this.store,
      tasks: new InlineTasks(this.store),
      folder,
    });
    this.#followers.push(follower);
    return new VolumeReader(follower, this.store);
  }

  /** What a mount does at its end; also what a killed one leaves, as far as one process can tell. */
  async end(): Promise<void> {
    await this.publisher.drain(0);
    for (const follower of this.#followers.splice(0)) await follower.close();
    await this.transfer.close();
    await this.cache.stop();
    await this.volume.close();
    this.directory.release();
  }

  async dispose(): Promise<void> {
    await this.end();
    await rm(this.root, { recursive: true, force: true });
  }

  #opened(
    ino: Ino,
    { handle, content }: { handle: HandleId; content: ReturnType<FileSystem["contentOf"]> },
  ): OpenedFile {
    return {
      ...{ ino, handle },
      write: async (bytes, offset = 0) => void (await content.file.write(bytes, offset)),
      sync: () => this.fs.sync(handle, false),
      close: () => this.fs.release(handle),
    };
  }
}

export class VolumeReader {
  /** By inode and version: the bytes of a version never change. */
  readonly #versions = new Map<string, string>();

  constructor(
    readonly follower: FollowerVolume,
    readonly store: ObjectStore,
  ) {}

  /** Every published file by its path, and the {@link digest} of its bytes. @throws when one cannot be read whole */
  async files(): Promise<Map<string, string>> {
    await this.follower.refresh();
    const { metadata } = this.follower;
    const found: [string, Ino][] = [];
    const visit = (directory: Ino, path: string): void => {
      for (const [name, { ino }] of metadata.dentries(directory, undefined, 100_000)) {
        if (metadata.content(ino) !== undefined) found.push([`${path}${name}`, ino]);
        else visit(ino, `${path}${name}/`);
      }
    };
    visit(ROOT_INO, "");
    const files = new Map<string, string>();
    for (const [path, ino] of found) {
      const version = `${ino} ${metadata.content(ino)?.version}`;
      const bytes = this.#versions.get(version) ?? digest(await this.#fetch(metadata, ino));
      this.#versions.set(version, bytes);
      files.set(path, bytes);
    }
    return files;
  }

  async #fetch(metadata: Metadata, ino: Ino): Promise<Buffer> {
    const sizeBytes = metadata.content(ino)?.sizeBytes ?? 0;
    const bytes = Buffer.alloc(sizeBytes);
    const count = Math.ceil(sizeBytes / (1 << 20));
    for (const [index, hash] of metadata.chunkHashes(ino, 0, count).entries()) {
      if (hash === null) continue;
      const chunk = metadata.chunk(hash);
      const pack = chunk && metadata.pack(chunk.pack);
      if (chunk === undefined || pack === undefined) throw new Error(`chunk ${hash} of inode ${ino} is nowhere`);
      const range = { offset: chunk.offset, length: chunk.storedLength };
      const { body } = await this.store.get(packObjectKey(pack.id), { range });
      bytes.set(decodeChunk(body, { ...chunk, hash }), index << 20);
    }
    return bytes;
  }
}

/** Short enough to be compared and printed. */
export function digest(bytes: Uint8Array | string): string {
  return `${Buffer.byteLength(bytes)} bytes, ${createHash("sha1").update(bytes).digest("hex")}`;
}

/** Holds requests that match until they are let go. Returns what lets them go, and how many there are. */
export function hold(
  server: S3TestServer,
  method: string,
  path: RegExp,
): { readonly release: () => void; readonly count: () => number } {
  const released = new Deferred();
  let count = 0;
  server.trouble = async (request): Promise<S3Trouble | undefined> => {
    if (request.method !== method || !path.test(request.path)) return undefined;
    count++;
    await released.promise;
    return undefined;
  };
  return { release: released.resolve, count: () => count };
}

/** Holds each request that matches by itself: in the order in which they came, what lets them go. */
export function holdEach(server: S3TestServer, method: string, path: RegExp): readonly Deferred[] {
  const held: Deferred[] = [];
  server.trouble = async (request): Promise<S3Trouble | undefined> => {
    if (request.method !== method || !path.test(request.path)) return undefined;
    const released = new Deferred();
    held.push(released);
    await released.promise;
    return undefined;
  };
  return held;
}

/** Publishers for the tests of the suite that calls this: its own S3 server, and an end to whatever a test starts. */
export function publishersUnderTest() {
  const machines: PublisherUnderTest[] = [];
  let server: S3TestServer;

  beforeAll(async () => {
    server = await startS3Server({ own: true });
  });
  afterAll(() => server.close());
  beforeEach(() => {
    for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
  });
  afterEach(async () => {
    server.trouble = undefined;
    for (const machine of machines.splice(0)) await machine.dispose();
    vi.unstubAllEnvs();
  });

  return {
    get server(): S3TestServer {
      return server;
    },
    async start(options: StartOptions = {}): Promise<PublisherUnderTest> {
      const machine = await PublisherUnderTest.start(server, options);
      if (options.from !== undefined) machines.splice(machines.indexOf(options.from), 1);
      machines.push(machine);
      return machine;
    },
  };
}
