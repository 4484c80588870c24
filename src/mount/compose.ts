import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { hostname, totalmem } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import {
  addCounters,
  type BackendConfig,
  createCounters,
  createObjectStore,
  type ObjectStore,
  openBackend,
  type RetryPolicy,
  type StoreCounters,
  withLimit,
  withMeter,
  withRetry,
} from "../backend/index.js";
import { type Clock, formatBytes, type Name } from "../base/index.js";
import { CacheDirectory, type LocalCache, openContentCache } from "../cache/index.js";
import {
  type CacheLimits,
  cacheLimits,
  type MountOptions,
  mountStatePaths,
  stagingMemoryBytes,
} from "../config/index.js";
import { createFileSystem } from "../fs/index.js";
import {
  EXCLUSIVE_VALIDITY,
  FuseNativeTransport,
  type MountedTransport,
  NativeTransport,
  type Validity,
} from "../fuse/index.js";
import {
  createVolume,
  type Descriptor,
  type FollowerVolume,
  findDescriptor,
  openDescriptor,
  openFollower,
  openWriter,
  WorkerTasks,
  type WriterVolume,
} from "../meta/index.js";
import { type Addon, loadAddon } from "../native/index.js";
import { BackgroundPublisher, idlePublisher, type Publisher } from "../publish/index.js";
import { createIpcCopiers, SOCKET_ATTRIBUTE, type StagingOptions, StagingServer } from "../staging/index.js";
import { WorkerTransfer } from "../transfer/index.js";
import { expectVolume, readCacheIdentity, writeCacheIdentity } from "./cache-identity.js";
import { Cleanup } from "./cleanup.js";
import { follow } from "./follow.js";
import { prepareMountpoint } from "./mountpoint.js";
import { requireFuseDevice, requireWritable, stackDepth } from "./preflight.js";
import { RunningMount } from "./running-mount.js";

/** While mounting somebody waits: a backend that does not answer is an error then. Later it is waited for. */
const MOUNT_DEADLINE_MS = 20_000;
const ATTEMPT_TIMEOUT_MS = 60_000;
/** A request that failed may hang, and then pause, for this long before the next failure is heard of. */
const TROUBLE_MS = ATTEMPT_TIMEOUT_MS + 15_000;
const REQUESTS_MAX = 16;
/** What a reader's kernel may keep between two looks at the log; it is told of every change as well. */
const FOLLOWER_VALIDITY: Validity = {
  namesMs: 60_000,
  absentNamesMs: 60_000,
  attributesMs: 60_000,
  writtenAttributesMs: 0,
};
const ROOT_MODE = 0o755;

export interface ComposeTools {
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborts when nobody waits for the mount any more. */
  readonly abandoned: AbortSignal;
  onProgress(text: string): void;
  /** The mount is gone, whoever ended it; `error` is empty when it was simply unmounted. */
  onUnmounted(error: string): void;
  onInvariant(error: Error): void;
}

/**
 * Constructs every component of a mount, in the order in which they need each other, and mounts. The only place that
 * does, so that this file shows how they hang together.
 * @throws UserError, or what kept it from mounting; then nothing is left behind, and a volume it made is gone again.
 */
export async function composeMount(options: MountOptions, tools: ComposeTools): Promise<RunningMount> {
  const cleanup = new Cleanup();
  const onCloseError = (what: string, error: unknown): void => tools.log.warn({ err: error }, `could not ${what}`);
  try {
    return await compose(options, tools, cleanup, onCloseError);
  } catch (error) {
    await cleanup.run(onCloseError);
    throw error;
  }
}

async function compose(
  options: MountOptions,
  tools: ComposeTools,
  cleanup: Cleanup,
  onCloseError: (what: string, error: unknown) => void,
): Promise<RunningMount> {
  const { clock, log, abandoned } = tools;
  const addon = loadAddon();
  await requireFuseDevice();
  const removedDead = await prepareMountpoint(options.mountpoint);

  const config = openBackend(options.volumeUrl);
  const backend = await openStore(config, clock);
  cleanup.add("close the backend", () => backend.store.close());
  const existing = options.create ? await findDescriptor(backend.store) : await openDescriptor(backend.store);
  // Not before: where no volume is, or none that can be read, a cache directory would be left behind.
  const place = await openCacheDirectory(options, addon, cleanup);
  const descriptor = await takeVolume(options, backend.store, existing, place, clock);
  let isMounted = false;
  if (existing === undefined) {
    cleanup.add("delete the volume that was just made", async () => {
      if (!isMounted) for await (const { key } of backend.store.list("")) await backend.store.delete(key);
    });
  }
  abandoned.throwIfAborted();

  const tasks = new WorkerTasks(config);
  cleanup.add("end the metadata worker", () => tasks.close());
  const volume = await openVolume(options, tools, { store: backend.store, tasks, addon, place });
  cleanup.add("close the metadata", () => volume.close());
  abandoned.throwIfAborted();

  const transfer = new WorkerTransfer({ backend: config, capabilities: backend.store.capabilities });
  const endWorkers = (): Promise<void> => transfer.close();
  cleanup.add("end the workers", endWorkers);
  const { metadata } = volume;
  const { directory, limits } = place;
  const onProblem = (message: string): void => log.warn(message);
  const follower = options.readOnly;
  const cache = await openContentCache({ directory, metadata, transfer, addon, ...limits, onProblem, clock, follower });
  cleanup.add("close the cache", () => cache.stop());
  // First, although they were started first: the cache waits for what it has asked of them.
  cleanup.add("end the workers", endWorkers);
  const publisher = startPublisher(volume, cache, transfer, tools);
  cleanup.add("stop publishing", () => publisher.drain(0));
  const metadataLog = "log" in volume ? volume.log : undefined;
  const isReadOnly = (): boolean => metadataLog?.lease.held !== true;
  const { durability } = options;
  const mountXattrs = new Map<Name, Uint8Array>();
  const fileSystem = createFileSystem({ metadata, cache, publisher, clock, durability, isReadOnly, mountXattrs });

  abandoned.throwIfAborted();
  const transport = options.transport === "native" ? new NativeTransport(addon) : new FuseNativeTransport();
  const mounted: MountedTransport = await transport.mount(fileSystem, {
    mountpoint: options.mountpoint,
    source: options.volumeUrl.replace(/\?.*$/, ""),
    readOnly: options.readOnly,
    allowOther: options.allowOther,
    validity: options.readOnly ? FOLLOWER_VALIDITY : EXCLUSIVE_VALIDITY,
    passthrough: options.passthrough,
    maxStackDepth: await stackDepth(place.directory.path),
    flushOnClose: durability === "close",
    clock,
    log,
    syncAll: () => publisher.syncAll(),
    onPassthroughLost: (reason) => {
      cache.setPassthrough(false);
      log.warn({ reason }, "the kernel does not pass files through any more");
    },
    onInvariant: (error) => tools.onInvariant(error),
    onEnd: (error) => tools.onUnmounted(error),
  });
  isMounted = true;
  cache.setPassthrough(mounted.passthrough);
  cache.onPressure((full) => mounted.setWriteGate(!full));
  if ("refresh" in volume) {
    const onError = (error: unknown): void => log.warn({ err: error }, "could not follow the writer; trying again");
    cleanup.add("stop following", follow(volume, mounted, { clock, onError }));
  }
  const staging = await startStaging(options, { fileSystem, cache, metadata, publisher, addon, kernel: mounted, log });
  if (staging !== undefined) {
    cleanup.add("end staging", () => staging.close());
    mountXattrs.set(SOCKET_ATTRIBUTE as Name, Buffer.from(staging.status().socket));
  }
  backend.waitForever();

  return new RunningMount({
    summary: {
      pid: process.pid,
      mountpoint: options.mountpoint,
      volumeUuid: descriptor.uuid,
      backend: backend.store.url,
      cacheDir: options.cacheDir,
      cacheLimitBytes: limits.limitBytes,
      transport: mounted.name,
      readOnly: options.readOnly,
      notices: removedDead ? [`a dead mount on ${options.mountpoint} was removed`] : [],
    },
    passthroughOff: options.passthrough ? "" : "--no-passthrough was given",
    traffic: () => {
      const total: StoreCounters = { ...backend.counters };
      addCounters(total, transfer.counters);
      return total;
    },
    recentTrouble: backend.recentTrouble,
    log: metadataLog,
    staging,
    ...{ durability, clock, mounted, metadata, cache, publisher, cleanup, onCloseError },
  });
}

/** The main thread's store: metadata goes through it. Retries, but not for ever before {@link waitForever}. */
async function openStore(
  config: BackendConfig,
  clock: Clock,
): Promise<{
  readonly store: ObjectStore;
  readonly counters: StoreCounters;
  readonly recentTrouble: () => string | undefined;
  readonly waitForever: () => void;
}> {
  const counters = createCounters();
  let trouble = { message: "", untilMs: 0 };
  const policy: { -readonly [Key in keyof RetryPolicy]: RetryPolicy[Key] } = {
    clock,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    deadlineMs: MOUNT_DEADLINE_MS,
    onRetry: ({ error }) => {
      counters.retries++;
      trouble = { message: error.message, untilMs: clock.monotonicMs() + TROUBLE_MS };
    },
  };
  const store = withRetry(withLimit(withMeter(await createObjectStore(config), counters), REQUESTS_MAX), policy);
  const waitForever = (): void => {
    delete policy.deadlineMs;
  };
  const recentTrouble = (): string | undefined => (clock.monotonicMs() < trouble.untilMs ? trouble.message : undefined);
  return { store, counters, recentTrouble, waitForever };
}

interface CachePlace {
  readonly directory: CacheDirectory;
  readonly limits: CacheLimits;
  /** Names this cache directory in the lease. */
  readonly holderId: string;
  readonly volumeUuid: string | undefined;
}

/** Readers and writers keep different records of the same volume, so a reader's cache lies in a folder of its own. */
async function openCacheDirectory(options: MountOptions, addon: Addon, cleanup: Cleanup): Promise<CachePlace> {
  const path = options.readOnly ? join(options.cacheDir, "reader") : options.cacheDir;
  const directory = CacheDirectory.open(path, addon);
  cleanup.add("release the cache directory", () => directory.release());
  const { id, volumeUuid } = await readCacheIdentity(path);
  const { blocks, bavail, bsize } = await statfs(path);
  const isNew = volumeUuid === undefined;
  const limits = cacheLimits(options, { totalBytes: blocks * bsize, availableBytes: bavail * bsize, isNew });
  return { directory, limits, holderId: id, volumeUuid };
}

/** Makes the volume if there is none, and the cache directory its own. */
async function takeVolume(
  options: MountOptions,
  store: ObjectStore,
  existing: Descriptor | undefined,
  { directory, holderId, volumeUuid }: CachePlace,
  clock: Clock,
): Promise<Descriptor> {
  expectVolume({ id: holderId, ...(volumeUuid !== undefined && { volumeUuid }) }, directory.path, existing?.uuid);
  if (!options.readOnly) await requireWritable(store, existing !== undefined);
  const descriptor = existing ?? (await createVolume(store, clock));
  await writeCacheIdentity(directory.path, { id: holderId, volumeUuid: descriptor.uuid });
  return descriptor;
}

function openVolume(
  options: MountOptions,
  { clock, log, onProgress: report }: ComposeTools,
  parts: {
    readonly store: ObjectStore;
    readonly tasks: WorkerTasks;
    readonly addon: Addon;
    readonly place: CachePlace;
  },
): Promise<WriterVolume | FollowerVolume> {
  const { store, tasks, addon, place } = parts;
  const { directory, holderId } = place;
  const folder = join(directory.path, "meta");
  const onProgress = ({ records, bytesDone, bytesTotal }: { records: number; bytesDone: number; bytesTotal: number }) =>
    report(`reading metadata: ${records} records, ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`);
  if (options.readOnly) return openFollower({ store, tasks, folder, clock, onProgress });
  return openWriter({
    ...{ store, tasks, clock, folder, onProgress },
    mapFile: (fd, length) => addon.mapFile(fd, length),
    holder: { id: holderId, host: hostname(), pid: process.pid, mountpoint: options.mountpoint },
    takeOver: options.takeOver,
    root: { mode: ROOT_MODE, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    contentExists: (id) => existsSync(directory.contentPath(id)),
    onError: (error) => log.warn({ err: error }, "metadata work in the background failed; it is tried again"),
  });
}

function startPublisher(
  volume: WriterVolume | FollowerVolume,
  cache: LocalCache,
  transfer: WorkerTransfer,
  { clock, log }: ComposeTools,
): Publisher {
  if (!("log" in volume)) return idlePublisher;
  const warn = (message: string, error: unknown): void => log.warn({ err: error }, message);
  const publisher = new BackgroundPublisher({
    metadata: volume.metadata,
    cache,
    transfer,
    log: volume.log,
    clock,
    warn,
  });
  publisher.start();
  volume.log.onLeaseLost((reason) => {
    log.error({ reason }, "fenced: the right to write was lost; what is not published stays in the cache directory");
  });
  return publisher;
}

/**
 * Checkpoints are taken where the kernel can be told of names it did not make; elsewhere programs write them through the
 * mount. That they are not taken is no reason not to mount.
 */
async function startStaging(
  options: MountOptions,
  parts: Omit<StagingOptions, "copiers" | "socketPath" | "memoryBytes">,
): Promise<StagingServer | undefined> {
  const { log } = parts;
  const memoryBytes = stagingMemoryBytes(options, Math.min(totalmem(), process.constrainedMemory() || totalmem()));
  if (options.readOnly || options.transport !== "native" || memoryBytes === 0) return undefined;
  const { stagingSocket: socketPath } = mountStatePaths(options.stateDir, options.mountpoint, hostname());
  try {
    const copiers = createIpcCopiers((message) => log.warn({}, message));
    return await StagingServer.listen({ ...parts, copiers, socketPath, memoryBytes });
  } catch (error) {
    log.warn({ err: error }, "no checkpoints are taken: nobody can listen on their socket");
    return undefined;
  }
}
