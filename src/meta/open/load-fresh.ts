import { rename, rm } from "node:fs/promises";
import { isBackendError } from "../../backend/index.js";
import type { LoadedVolume, LoadProgress } from "../checkpoint/load-volume.js";
import { LmdbStore, redoPathOf } from "../lmdb/lmdb-store.js";
import type { MetaStore } from "../store.js";
import type { LoadInput, MetaTasks } from "../worker/meta-tasks.js";

const ATTEMPTS_MAX = 3;

/**
 * Makes the local store anew from the volume. It appears under its name only when it is complete.
 *
 * @param complete What else belongs into it.
 * @throws MetaError corrupt, too-new. @throws BackendError
 */
export async function loadFresh(
  tasks: MetaTasks,
  input: LoadInput,
  onProgress?: (progress: LoadProgress) => void,
  complete?: (store: MetaStore, loaded: LoadedVolume) => void,
): Promise<void> {
  const temporary = `${input.path}.loading`;
  for (let attempt = 1; ; attempt++) {
    await removeStore(temporary);
    try {
      const loaded = await tasks.load({ ...input, path: temporary }, onProgress);
      if (complete !== undefined) await withStore(temporary, (store) => complete(store, loaded));
      await removeStore(input.path);
      await rename(temporary, input.path);
      await removeStore(temporary);
      return;
    } catch (error) {
      // The writer replaced the checkpoint and deleted this one while it was being read: take the new one.
      if (attempt === ATTEMPTS_MAX || !isBackendError(error, "not-found")) throw error;
    }
  }
}

async function withStore(path: string, run: (store: MetaStore) => void): Promise<void> {
  const store = new LmdbStore(path);
  try {
    run(store);
  } finally {
    await store.close();
  }
}

/** Removes a store that is not open. */
export async function removeStore(path: string): Promise<void> {
  await Promise.all([path, `${path}-lock`, redoPathOf(path)].map((file) => rm(file, { force: true })));
}
