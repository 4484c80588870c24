import { isBackendError, type ObjectStore } from "../../backend/index.js";
import type { Epoch, SegmentSeq } from "../../base/index.js";
import {
  decodeSegmentPart,
  type EpochStart,
  FormatError,
  joinSegmentParts,
  type Segment,
  segmentObjectKey,
} from "../../format/index.js";
import { MetaError } from "../meta-error.js";
import { epochAt } from "./epochs.js";

const LOOK_AHEAD_MAX = 16;

/** A segment as it was read, with what it weighs in the log. */
export interface ReadSegment extends Segment {
  readonly storedBytes: number;
}

/**
 * The log from segment `from` to its end, in order. Asks for one segment first and for twice as many with every
 * answer, so that an up-to-date reader costs one request and a far behind one does not wait for each. Decoded, a segment
 * takes some twenty times the memory: that is done one at a time.
 *
 * @param beginsAt from the lease: which epoch's segments count where
 * @throws MetaError corrupt, naming the object. @throws BackendError
 */
export async function* readLog(
  store: ObjectStore,
  from: SegmentSeq,
  beginsAt: readonly EpochStart[],
): AsyncGenerator<ReadSegment, void> {
  let next = from;
  for (let count = 1; ; count = Math.min(count * 2, LOOK_AHEAD_MAX)) {
    const requests = Array.from({ length: count }, (_, index) => {
      const seq = (next + index) as SegmentSeq;
      return getObject(store, segmentObjectKey(epochAt(beginsAt, seq), seq));
    });
    // All of them, so that none is left behind to reject unheard.
    const answers = await Promise.allSettled(requests);
    for (const answer of answers) {
      if (answer.status === "rejected") throw answer.reason;
      if (answer.value === undefined) return;
      yield await decodeSegment(store, epochAt(beginsAt, next), next, answer.value);
      next++;
    }
  }
}

/**
 * One segment with all its parts.
 * @param body of part 0, which is put last and says how many others there are
 */
async function decodeSegment(
  store: ObjectStore,
  epoch: Epoch,
  seq: SegmentSeq,
  body: Uint8Array,
): Promise<ReadSegment> {
  const key = segmentObjectKey(epoch, seq);
  const first = naming(store, key, () => decodeSegmentPart(body));
  const numbers = Array.from({ length: first.parts - 1 }, (_, index) => index + 1);
  const others = await Promise.all(
    numbers.map(async (part) => {
      const key = segmentObjectKey(epoch, seq, part);
      const body = await getObject(store, key);
      if (body === undefined) throw new MetaError("corrupt", `${store.url}: ${key} is missing`);
      return { part: naming(store, key, () => decodeSegmentPart(body)), sizeBytes: body.byteLength };
    }),
  );
  const parts = [{ part: first, sizeBytes: body.byteLength }, ...others];
  const segment = naming(store, key, () => joinSegmentParts(parts.map(({ part }) => part)));
  if (segment.epoch !== epoch || segment.seq !== seq) {
    throw new MetaError("corrupt", `${store.url}: ${key} is another segment`);
  }
  return { ...segment, storedBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

async function getObject(store: ObjectStore, key: string): Promise<Uint8Array | undefined> {
  try {
    const { body } = await store.get(key);
    return body;
  } catch (error) {
    if (isBackendError(error, "not-found")) return undefined;
    throw error;
  }
}

function naming<T>(store: ObjectStore, key: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const kind = error.kind === "too-new" ? "too-new" : "corrupt";
    throw new MetaError(kind, `${store.url}: ${key}: ${error.message}`, { cause: error });
  }
}
