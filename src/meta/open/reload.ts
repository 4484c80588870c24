import type { LoadProgress } from "../checkpoint/load-volume.js";
import { LmdbStore } from "../lmdb/lmdb-store.js";
import type { ChangedKeys } from "../log/apply-segment.js";
import type { MetaStore } from "../store.js";
import type { LoadInput, MetaTasks } from "../worker/meta-tasks.js";
import { adoptState } from "./adopt-state.js";
import { loadFresh, removeStore } from "./load-fresh.js";

export interface ReloadOptions {
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly changes?: ChangedKeys | undefined;
}

/**
 * Loads the volume beside a store in use, then makes the store's shared records the same. For one that is so far
 * behind that the log does not reach back to it.
 */
export async function reload(
  store: MetaStore,
  tasks: MetaTasks,
  input: LoadInput,
  { onProgress, changes }: ReloadOptions = {},
): Promise<void> {
  const path = `${input.path}.reloaded`;
  await loadFresh(tasks, { ...input, path }, onProgress);
  const loaded = new LmdbStore(path);
  try {
    await adoptState(loaded, store, changes);
  } finally {
    await loaded.close();
    await removeStore(path);
  }
}
