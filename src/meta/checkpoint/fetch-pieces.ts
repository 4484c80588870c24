import type { ObjectInfo, ObjectStore } from "../../backend/index.js";

const PIECE_BYTES = 8 << 20;
const PIECES_AHEAD = 4;

/**
 * An object's bytes in order, in pieces, a few of them under way at a time: as fast as the link, in memory that
 * does not grow with the object. @throws BackendError
 */
export async function* fetchPieces(store: ObjectStore, object: ObjectInfo): AsyncGenerator<Uint8Array, void> {
  const waiting: Promise<PromiseSettledResult<Uint8Array>>[] = [];
  let offset = 0;
  for (;;) {
    while (waiting.length < PIECES_AHEAD && offset < object.sizeBytes) {
      const length = Math.min(PIECE_BYTES, object.sizeBytes - offset);
      waiting.push(settled(fetchPiece(store, object.key, offset, length)));
      offset += length;
    }
    const piece = await waiting.shift();
    if (piece === undefined) return;
    if (piece.status === "rejected") throw piece.reason;
    yield piece.value;
  }
}

async function fetchPiece(store: ObjectStore, key: string, offset: number, length: number): Promise<Uint8Array> {
  const { body } = await store.get(key, { range: { offset, length } });
  return body;
}

/** Rejections wait for their turn instead of being unhandled. */
async function settled<T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> {
  const [result] = await Promise.allSettled([promise]);
  return result;
}
