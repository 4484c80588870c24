import type { ChunkHash } from "../../base/index.js";
import { packIdOf, packObjectKey } from "../../format/index.js";
import type { ChunkSource, PackedChunk, UploadedPack } from "../transfer.js";
import type { WorkerContext } from "./context.js";
import { LocalFiles } from "./local-files.js";
import { Pacer } from "./pacer.js";
import { PackBuilder, packBytesMax, type ReadChunk } from "./pack-builder.js";

/** Asks the main thread which of these chunks the volume has. */
export type AskKnown = (hashes: readonly ChunkHash[]) => Promise<readonly boolean[]>;

/** Reads and hashes chunks of local files, packs those the volume lacks, and puts the pack under its name. */
export async function uploadPack(
  context: WorkerContext,
  sources: readonly ChunkSource[],
  askKnown: AskKnown,
  signal: AbortSignal,
): Promise<UploadedPack> {
  return await context.lend(packBytesMax(sources), async (buffer) => {
    const builder = new PackBuilder(buffer);
    const pacer = new Pacer();
    const read = await readAll(builder, sources, pacer, signal);
    const hashes = builder.hashes;
    const known = hashes.length === 0 ? [] : await askKnown(hashes);
    for (const [i, hash] of hashes.entries()) {
      if (known[i]) continue;
      builder.pack(hash);
      await pacer.turn();
      signal.throwIfAborted();
    }
    const bytes = builder.finish();
    const chunks = read.map((chunk) => packedChunk(builder, chunk));
    if (bytes === undefined) return { pack: undefined, chunks };
    const id = packIdOf(bytes);
    // No condition: an object of this name has these chunks at these places.
    await context.storing(signal, (store, options) => store.put(packObjectKey(id), bytes, options));
    return { pack: { id, sizeBytes: bytes.length }, chunks };
  });
}

async function readAll(
  builder: PackBuilder,
  sources: readonly ChunkSource[],
  pacer: Pacer,
  signal: AbortSignal,
): Promise<ReadChunk[]> {
  const files = new LocalFiles("read");
  const read: ReadChunk[] = [];
  try {
    for (const source of sources) {
      read.push(builder.read(files, source));
      await pacer.turn();
      signal.throwIfAborted();
    }
    return read;
  } finally {
    files.closeAll();
  }
}

function packedChunk(builder: PackBuilder, { hash, rawLength }: ReadChunk): PackedChunk {
  const entry = hash === null ? undefined : builder.find(hash);
  if (entry === undefined) return { hash, rawLength, stored: null };
  const { offset, storedLength, codec } = entry;
  return { hash, rawLength, stored: { offset, storedLength, codec } };
}
