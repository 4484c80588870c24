import type { ObjectInfo, ObjectStore } from "../../backend/index.js";
import type { SegmentSeq } from "../../base/index.js";
import { CHECKPOINT_PREFIX, parseCheckpointObjectKey } from "../../format/index.js";

export interface FoundCheckpoint extends ObjectInfo {
  readonly segment: SegmentSeq;
}

/** All checkpoints of a volume, oldest first. @throws BackendError */
export async function listCheckpoints(store: ObjectStore): Promise<readonly FoundCheckpoint[]> {
  const found: FoundCheckpoint[] = [];
  for await (const object of store.list(CHECKPOINT_PREFIX)) {
    const segment = parseCheckpointObjectKey(object.key);
    if (segment !== undefined) found.push({ ...object, segment });
  }
  return found;
}
