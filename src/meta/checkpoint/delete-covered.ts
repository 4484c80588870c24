import type { ObjectStore } from "../../backend/index.js";
import { Limiter, type SegmentSeq } from "../../base/index.js";
import { LOG_PREFIX, parseSegmentObjectKey } from "../../format/index.js";
import { listCheckpoints } from "./find-checkpoint.js";

/** The one before the newest stays, with the log after it: somebody may just be loading it. */
const CHECKPOINTS_KEPT = 2;
const DELETES_AT_ONCE = 4;

/**
 * Deletes checkpoints that nobody needs any more, and the segments they cover.
 *
 * @returns the last segment that is covered. @throws BackendError
 */
export async function deleteCovered(store: ObjectStore): Promise<SegmentSeq> {
  const checkpoints = await listCheckpoints(store);
  const oldestKept = checkpoints.at(-CHECKPOINTS_KEPT);
  const covered = oldestKept?.segment ?? (0 as SegmentSeq);
  const keys = checkpoints.slice(0, -CHECKPOINTS_KEPT).map(({ key }) => key);
  for await (const { key } of store.list(LOG_PREFIX)) {
    const segment = parseSegmentObjectKey(key);
    if (segment !== undefined && segment.seq <= covered) keys.push(key);
  }
  const limiter = new Limiter(DELETES_AT_ONCE);
  await Promise.all(keys.map((key) => limiter.run(() => store.delete(key))));
  return covered;
}
