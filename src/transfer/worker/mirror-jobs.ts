import type { PackId } from "../../base/index.js";
import { packObjectKey } from "../../format/index.js";
import type { ChunkOutcome, ChunkTarget } from "../transfer.js";
import type { WorkerContext } from "./context.js";
import { writeChunk } from "./fetch-chunks.js";
import { LocalFiles } from "./local-files.js";
import { Pacer } from "./pacer.js";

/** A stretch of a pack, and the mirror file that gets it. */
export interface WindowRequest {
  readonly pack: PackId;
  readonly offset: number;
  readonly length: number;
  readonly path: string;
}

/** Copies a window of a pack into the same place of its mirror, unchecked: chunks are checked when they are taken out. */
export async function fetchWindow(context: WorkerContext, request: WindowRequest, signal: AbortSignal): Promise<void> {
  const { offset, length } = request;
  await context.lend(length, async (into) => {
    const { body } = await context.fetching(signal, (store, options) =>
      store.get(packObjectKey(request.pack), { ...options, range: { offset, length }, into }),
    );
    const files = new LocalFiles("write");
    try {
      files.write(request.path, body, offset);
    } finally {
      files.closeAll();
    }
  });
}

/** Takes chunks out of a mirror. One that is damaged there is "corrupt": the caller then asks the backend itself. */
export async function extractChunks(mirrorPath: string, targets: readonly ChunkTarget[]): Promise<ChunkOutcome[]> {
  const mirror = new LocalFiles("read");
  const files = new LocalFiles("write");
  const pacer = new Pacer();
  const outcomes: ChunkOutcome[] = [];
  try {
    for (const target of targets) {
      const stored = Buffer.allocUnsafe(target.storedLength);
      const count = mirror.read(mirrorPath, stored, target.offset);
      const damage = writeChunk(files, target, stored.subarray(0, count));
      outcomes.push(damage && { kind: "corrupt", message: `${mirrorPath}: ${damage.message}` });
      await pacer.turn();
    }
  } finally {
    mirror.closeAll();
    files.closeAll();
  }
  return outcomes;
}
