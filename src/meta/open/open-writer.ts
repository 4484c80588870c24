import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ObjectStore } from "../../backend/index.js";
import { type Clock, type ContentId, type Epoch, ROOT_INO, type SegmentSeq, UserError } from "../../base/index.js";
import { type Descriptor, type LeaseHolder, loadCompressor, nowOf } from "../../format/index.js";
import { CheckpointWriter } from "../checkpoint/checkpoint-writer.js";
import type { LoadProgress } from "../checkpoint/load-volume.js";
import { Journal } from "../journal/journal.js";
import { pendingRecords } from "../journal/pending-records.js";
import { readJournal } from "../journal/read-journal.js";
import { LeaseKeeper } from "../lease/lease-keeper.js";
import { LmdbStore } from "../lmdb/lmdb-store.js";
import type { MapFile } from "../lmdb/redo-log.js";
import { VolumeLog } from "../log/volume-log.js";
import type { Metadata, MetadataLog } from "../metadata.js";
import type { MetaStore } from "../store.js";
import { VolumeMetadata } from "../volume-metadata.js";
import { readPosition, writePosition } from "../volume-position.js";
import type { MetaTasks } from "../worker/meta-tasks.js";
import { catchUp } from "./catch-up.js";
import { loadFresh, removeStore } from "./load-fresh.js";
import { beginLocalState, endLocalState, readBootId } from "./local-state.js";
import { reload } from "./reload.js";
import { replayJournal } from "./replay-journal.js";
import { openDescriptor } from "./volume-descriptor.js";

export interface OpenWriterOptions {
  /** Retrying for ever what can be retried; probed. */
  readonly store: ObjectStore;
  readonly tasks: MetaTasks;
  readonly clock: Clock;
  /** Private folder of the cache directory for the store, the journal and temporary files. */
  readonly folder: string;
  readonly holder: LeaseHolder;
  /** Take the lease of a holder that is still there. */
  readonly takeOver?: boolean;
  readonly leaseTtlMs?: number;
  /** Owner and mode of the root directory, should this be the volume's first writer. */
  readonly root: { readonly mode: number; readonly uid: number; readonly gid: number };
  /** Whether a content file is there: dirty files that a power loss took away are given up. */
  readonly contentExists: (id: ContentId) => boolean;
  /** Where the store's redo log can be mapped, a change costs no system call. */
  readonly mapFile?: MapFile;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Failures in the background: checkpoints, the journal. They are tried again. */
  readonly onError: (error: unknown) => void;
  /** Default: the machine's. */
  readonly bootId?: string;
}

/** A volume opened for writing. */
export interface WriterVolume {
  readonly descriptor: Descriptor;
  readonly metadata: Metadata;
  readonly log: MetadataLog;
  /** Clean local images of an earlier epoch count as absent. */
  readonly trustEpoch: number;
  /** Gives the lease back and closes everything; what is pending stays for the next mount. */
  close(): Promise<void>;
}

/**
 * Takes the lease and opens the metadata of a volume for writing: what the cache directory has, brought up to date;
 * or loaded from the volume, after a power loss with what the journal kept.
 *
 * @throws MetaError lease-held, diverged, not-a-volume, too-new, corrupt. @throws BackendError
 */
export async function openWriter(options: OpenWriterOptions): Promise<WriterVolume> {
  const { store: backend, holder, clock, takeOver = false, leaseTtlMs } = options;
  await loadCompressor();
  const descriptor = await openDescriptor(backend);
  const leaseOptions = { store: backend, clock, holder, ...(leaseTtlMs !== undefined && { ttlMs: leaseTtlMs }) };
  const lease = await LeaseKeeper.acquire(leaseOptions, takeOver);
  try {
    return await openWithLease(options, descriptor, lease);
  } catch (error) {
    // The lease must not outlive an attempt to mount that failed, whatever else does not work.
    await lease.release().catch(options.onError);
    throw error;
  }
}

async function openWithLease(
  options: OpenWriterOptions,
  descriptor: Descriptor,
  lease: LeaseKeeper,
): Promise<WriterVolume> {
  const { folder, clock, store: backend, tasks, onError } = options;
  const bootId = options.bootId ?? (await readBootId());
  const state = await beginLocalState(folder, bootId, () => removeStore(storePath(folder)));
  const store = await openStore(options, descriptor, lease);
  try {
    const base = await beginEpoch(store, lease);
    const journal = await Journal.open({
      path: join(folder, JOURNAL_FILE),
      clock,
      base: { ...base, volumeUuid: descriptor.uuid },
      pending: () => pendingRecords(store),
      onError,
    });
    const metadata = new VolumeMetadata({ store, journal });
    const checkpoints = new CheckpointWriter({ metadata, store: backend, lease, tasks, folder, onError });
    const log = new VolumeLog({ metadata, store: backend, lease, tasks, checkpoints, clock });
    if (metadata.inode(ROOT_INO) === undefined) createRoot(metadata, options);
    const close = async () => {
      // A backend that does not answer must not keep the local state from being closed.
      await log.release().catch(onError);
      await metadata.close();
      await endLocalState(folder, state);
    };
    return { descriptor, metadata, log, trustEpoch: state.trustEpoch, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The local store, at the end of the volume's log. */
async function openStore(options: OpenWriterOptions, descriptor: Descriptor, lease: LeaseKeeper): Promise<LmdbStore> {
  const { folder, tasks, store: backend, onProgress } = options;
  const path = storePath(folder);
  const input = { path, volumeUuid: descriptor.uuid, beginsAt: lease.beginsAt };
  if (!existsSync(path)) {
    const journal = await readJournal(join(folder, JOURNAL_FILE));
    if (journal !== undefined) expectVolume(options, descriptor, journal.base.volumeUuid);
    await loadFresh(tasks, input, onProgress, (store, { segments }) => {
      if (journal !== undefined) replayJournal(store, journal, { ...options, volume: backend.url, segments });
    });
    return new LmdbStore(path, { groupCommit: options });
  }
  const store = new LmdbStore(path, { groupCommit: options });
  try {
    expectVolume(options, descriptor, store.read(readPosition).volumeUuid);
    if (!(await catchUp(store, backend, lease.beginsAt))) await reload(store, tasks, input, { onProgress });
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function expectVolume({ folder }: OpenWriterOptions, descriptor: Descriptor, uuid: string): void {
  if (uuid === descriptor.uuid) return;
  throw new UserError(`cache directory ${folder} belongs to another volume (${uuid}): use another one, or delete it`);
}

function storePath(folder: string): string {
  return join(folder, STORE_FILE);
}

/** Remembers that segments of this epoch are ours, then tells the readers where it begins. */
async function beginEpoch(
  store: MetaStore,
  lease: LeaseKeeper,
): Promise<{ readonly segment: SegmentSeq; readonly ownEpochs: readonly Epoch[] }> {
  const position = store.transact((tx) => {
    const before = readPosition(tx);
    const ownEpochs = [...before.ownEpochs.slice(1 - OWN_EPOCHS_MAX), lease.epoch];
    const after = { ...before, ownEpochs };
    writePosition(tx, after);
    return after;
  });
  const { segment, ownEpochs, checkpoint } = position;
  await lease.begin((segment + 1) as SegmentSeq, checkpoint === 0 ? undefined : checkpoint);
  return { segment, ownEpochs };
}

const STORE_FILE = "meta.lmdb";
const JOURNAL_FILE = "journal";
/** Only the last one can have segments that are not settled. */
const OWN_EPOCHS_MAX = 16;
/** A directory without subdirectories: "." and the entry in its parent. */
const ROOT_NLINK = 2;
const S_IFDIR = 0o040000;

function createRoot(metadata: VolumeMetadata, { root, clock }: OpenWriterOptions): void {
  const now = nowOf(clock);
  metadata.update((tx) => {
    const times = { atime: now, mtime: now, ctime: now, btime: now };
    const { mode, uid, gid } = root;
    tx.putInode(ROOT_INO, {
      mode: S_IFDIR | (mode & 0o7777),
      uid,
      gid,
      nlink: ROOT_NLINK,
      rdev: 0,
      target: "",
      ...times,
    });
    tx.putDirectoryTimes(ROOT_INO, { mtime: now, ctime: now, nlink: ROOT_NLINK, seq: tx.seq });
  });
}
