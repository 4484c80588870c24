import { type Clock, systemClock } from "../base/index.js";
import type { Metadata } from "../meta/index.js";
import type { Transfer } from "../transfer/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import { ContentIds } from "./content-ids.js";
import { CacheCore } from "./core.js";
import { Evictor } from "./evictor.js";
import { Garbage } from "./garbage.js";
import { Ledger } from "./ledger.js";
import { LocalCache } from "./local-cache.js";
import { Mirrors } from "./mirrors.js";
import type { ContentFiles } from "./open-files.js";
import { Opener } from "./opener.js";
import { Recency } from "./recency.js";
import { adoptDirectory, deleteLost, recoverDirtyFiles } from "./recovery.js";
import { RetainedFiles } from "./retained-files.js";
import { Room } from "./room.js";
import { SmallFiles } from "./small-files.js";
import { Spares } from "./spares.js";
import { beginTrust } from "./trust.js";
import { Upkeep } from "./upkeep.js";
import { Uploads } from "./uploads.js";

export interface ContentCacheOptions {
  /** Locked; its owner releases it after the cache and the metadata have been closed. */
  readonly directory: CacheDirectory;
  readonly metadata: Metadata;
  readonly transfer: Transfer;
  readonly addon: ContentFiles;
  readonly limitBytes: number;
  /** Stays free on the disk, whatever the limit says. */
  readonly freeSpaceBytes: number;
  /** One line for the log, whenever something could not be had or kept. */
  readonly onProblem: (message: string) => void;
  readonly clock?: Clock;
  /** Others write the volume: what a file consists of may change while it is open here. */
  readonly follower?: boolean;
  /** How long a fetch waits for room in a full cache. */
  readonly roomWaitMs?: number;
}

/** As long as a fetch waits for the backend. */
const ROOM_WAIT_MS_DEFAULT = 5 * 60_000;

/**
 * Opens the cache of one mount. Looks at dirty files only, so it does not take longer when the cache is larger; what
 * concerns all files happens afterwards, in the background.
 * @throws CacheError local-io, no-space.
 */
export async function openContentCache(options: ContentCacheOptions): Promise<LocalCache> {
  const { directory, metadata, transfer, addon, onProblem, limitBytes, freeSpaceBytes } = options;
  const clock = options.clock ?? systemClock;
  const trust = beginTrust(metadata);
  await adoptDirectory(directory, metadata);

  const ids = new ContentIds(metadata);
  const firstId = ids.next;
  const garbage = new Garbage({ directory, metadata, addon });
  const ledger = new Ledger();
  const limits = { limitBytes, freeSpaceBytes, waitMs: options.roomWaitMs ?? ROOM_WAIT_MS_DEFAULT };
  // The room makes room by evicting, and what is evicted is found with all the rest.
  const free = (need: () => number): Promise<number> => evictor.free(need);
  const room = new Room(directory.path, limits, { ledger, clock, free });
  const mirrors = new Mirrors({ directory, metadata, transfer, room, clock });
  const spares = new Spares({ directory, ids, garbage, addon });
  const retained = new RetainedFiles();
  const recency = new Recency(metadata, clock);
  const core = new CacheCore({
    ...{ directory, metadata, transfer, addon, clock, ids, garbage, spares, ledger, room, mirrors, retained, recency },
    trustEpoch: trust.epoch,
    follower: options.follower ?? false,
    onProblem,
  });
  const evictor = new Evictor(core);
  const smallFiles = new SmallFiles({
    ...{ directory, metadata, transfer, ids, garbage, mirrors, room, ledger },
    imageTime: () => core.imageTime(),
    isPresent: (ino, content) => core.isPresent(ino, content),
  });
  const uploads = new Uploads(core);
  const upkeep = new Upkeep(core, evictor, uploads);
  const opener = new Opener(core, smallFiles);

  if (trust.counted !== undefined) ledger.restore(trust.counted);
  await addon.reserveDescriptors();
  await Promise.all([mirrors.clear(), room.look(), recoverDirtyFiles(core), spares.ready()]);

  const stop = new AbortController();
  const background = Promise.all([
    garbage.sweep(firstId),
    deleteLost(directory),
    trust.counted ?? ledger.recount(metadata, (ino) => core.images.get(ino)?.counted, stop.signal),
  ]).catch((error: unknown) => onProblem(error instanceof Error ? error.message : String(error)));
  upkeep.start();
  const stopBackground = async (): Promise<void> => {
    stop.abort();
    await background;
  };
  return new LocalCache({ core, opener, uploads, evictor, upkeep, stopBackground });
}
