import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ObjectStore } from "../../backend/index.js";
import { type Clock, ROOT_INO } from "../../base/index.js";
import {
  type Descriptor,
  directoryTimesKey,
  type EpochStart,
  encodeDirectoryTimes,
  encodeInode,
  inodeKey,
  loadCompressor,
} from "../../format/index.js";
import type { LoadProgress } from "../checkpoint/load-volume.js";
import { readLease } from "../lease/lease-object.js";
import { LmdbStore } from "../lmdb/lmdb-store.js";
import { type ChangedKeys, noChanges } from "../log/apply-segment.js";
import type { Metadata } from "../metadata.js";
import { VolumeMetadata } from "../volume-metadata.js";
import { readPosition, writePosition } from "../volume-position.js";
import type { MetaTasks } from "../worker/meta-tasks.js";
import { catchUp } from "./catch-up.js";
import { loadFresh, removeStore } from "./load-fresh.js";
import { beginLocalState, endLocalState, readBootId } from "./local-state.js";
import { reload } from "./reload.js";
import { openDescriptor } from "./volume-descriptor.js";

export interface OpenFollowerOptions {
  readonly store: ObjectStore;
  readonly tasks: MetaTasks;
  /** Private folder of the cache directory, not shared with a writer's. */
  readonly folder: string;
  readonly clock: Clock;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly bootId?: string;
}

/** A volume opened for reading, while somebody else may write it. */
export interface FollowerVolume {
  readonly descriptor: Descriptor;
  readonly metadata: Metadata;
  readonly trustEpoch: number;
  /** Takes over what was published since, and tells what changed: the kernel's caches of it are stale. */
  refresh(): Promise<ChangedKeys>;
  close(): Promise<void>;
}

/** @throws MetaError not-a-volume, too-new, corrupt. @throws BackendError */
export async function openFollower(options: OpenFollowerOptions): Promise<FollowerVolume> {
  const { store: backend, tasks, folder, onProgress } = options;
  await loadCompressor();
  const descriptor = await openDescriptor(backend);
  const path = join(folder, "meta.lmdb");
  const state = await beginLocalState(folder, options.bootId ?? (await readBootId()), () => removeStore(path));
  const input = { path, volumeUuid: descriptor.uuid };
  const beginsAt = (await readLease(backend))?.lease.beginsAt ?? [];
  const isNew = !existsSync(path);
  if (isNew) await loadFresh(tasks, { ...input, beginsAt }, onProgress);
  const store = new LmdbStore(path, { groupCommit: options });
  if (!isNew && !(await catchUp(store, backend, beginsAt))) await reload(store, tasks, { ...input, beginsAt });
  provideRoot(store, descriptor);
  const metadata = new VolumeMetadata({ store, readOnly: true });
  const refresh = async () => {
    const changes = noChanges();
    const current = await settledBeginnings(backend);
    if (current === undefined) return changes;
    const caughtUp = await catchUp(store, backend, current, changes);
    if (!caughtUp) await reload(store, tasks, { ...input, beginsAt: current }, { changes });
    metadata.rederive();
    return changes;
  };
  const close = async () => {
    await metadata.close();
    await endLocalState(folder, state);
  };
  return { descriptor, metadata, trustEpoch: state.trustEpoch, refresh, close };
}

/**
 * Which epochs' segments count. Undefined while a new writer has taken the lease and not yet said where its log
 * begins: what its predecessor puts now may be history or not.
 */
async function settledBeginnings(backend: ObjectStore): Promise<readonly EpochStart[] | undefined> {
  const found = await readLease(backend);
  if (found === undefined) return undefined;
  const { epoch, beginsAt } = found.lease;
  return beginsAt.at(-1)?.epoch === epoch ? beginsAt : undefined;
}

const ROOT_MODE = 0o040755;

/** A volume that nobody has written to yet has no root directory: readers see an empty one. */
function provideRoot(store: LmdbStore, { createdAt }: Descriptor): void {
  store.transact((tx) => {
    if (tx.get(inodeKey(ROOT_INO)) !== undefined) return;
    const time = { sec: Math.floor(Date.parse(createdAt) / 1000), nsec: 0 };
    const times = { atime: time, mtime: time, ctime: time, btime: time };
    tx.put(
      inodeKey(ROOT_INO),
      encodeInode({ mode: ROOT_MODE, uid: 0, gid: 0, nlink: 2, rdev: 0, target: "", ...times }),
    );
    const position = readPosition(tx);
    tx.put(
      directoryTimesKey(ROOT_INO),
      encodeDirectoryTimes({ mtime: time, ctime: time, nlink: 2, seq: position.lastSeq }),
    );
    writePosition(tx, { ...position, totals: { ...position.totals, inodes: 1 } });
  });
}
