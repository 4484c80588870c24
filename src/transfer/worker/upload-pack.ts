import type { ChunkHash } from "../../base/index.js";
import {
  CHUNK_SIZE_BYTES,
  decodeChunk,
  decodePackFooter,
  encodeChunk,
  FormatError,
  hexHashOf,
  PackLayout,
  packIdOf,
  packObjectKey,
} from "../../format/index.js";
import { TransferError } from "../errors.js";
import type { ChunkSource, PackedChunk, UploadedPack } from "../transfer.js";
import type { WorkerContext } from "./context.js";
import { LocalFiles } from "./local-files.js";
import { Pacer } from "./pacer.js";

interface BuiltPack {
  /** Empty when there were only holes. */
  readonly bytes: Buffer;
  readonly chunks: readonly PackedChunk[];
}

/** Packs chunks of local files, checks the pack as a reader would, and puts it under the hash of its bytes. */
export async function uploadPack(
  context: WorkerContext,
  sources: readonly ChunkSource[],
  signal: AbortSignal,
): Promise<UploadedPack> {
  const { bytes, chunks } = await buildPack(sources, signal);
  if (bytes.length === 0) return { pack: undefined, chunks };
  const id = packIdOf(bytes);
  // No condition: an object of this name has these bytes.
  await context.storing(signal, (store, options) => store.put(packObjectKey(id), bytes, options));
  return { pack: { id, sizeBytes: bytes.length }, chunks };
}

async function buildPack(sources: readonly ChunkSource[], signal: AbortSignal): Promise<BuiltPack> {
  const layout = new PackLayout();
  const pieces: Uint8Array[] = [];
  const chunks: PackedChunk[] = [];
  const files = new LocalFiles("read");
  const pacer = new Pacer();
  const buffer = Buffer.allocUnsafeSlow(CHUNK_SIZE_BYTES);
  try {
    for (const source of sources) {
      const rawLength = files.read(source.path, buffer.subarray(0, source.length), source.offset);
      const encoded = encodeChunk(buffer.subarray(0, rawLength));
      if (encoded === undefined) {
        chunks.push({ hash: hexHashOf(buffer.subarray(0, rawLength)) as ChunkHash, stored: null, rawLength });
      } else {
        let place = layout.find(encoded.hash);
        if (place === undefined) {
          place = layout.add(encoded);
          // A copy: what is not compressed is borrowed from the buffer, which the next chunk overwrites.
          pieces.push(Uint8Array.prototype.slice.call(encoded.stored));
        }
        const { offset, storedLength, codec } = place;
        chunks.push({ hash: encoded.hash, stored: { offset, storedLength, codec }, rawLength });
      }
      await pacer.turn();
      signal.throwIfAborted();
    }
  } finally {
    files.closeAll();
  }
  if (pieces.length === 0) return { bytes: Buffer.alloc(0), chunks };
  const bytes = Buffer.concat([...pieces, layout.footer()], layout.sizeBytes);
  await verify(bytes, layout, pacer);
  return { bytes, chunks };
}

/** Decodes the finished pack and compares: a bug or a flipped bit must not become the only copy of somebody's data. */
async function verify(bytes: Buffer, layout: PackLayout, pacer: Pacer): Promise<void> {
  try {
    const entries = decodePackFooter(bytes, bytes.length);
    const same = JSON.stringify(entries) === JSON.stringify(layout.entries);
    if (!same) throw new FormatError("malformed", "the footer lists other chunks than were packed");
    for (const entry of entries) {
      decodeChunk(bytes.subarray(entry.offset, entry.offset + entry.storedLength), entry);
      await pacer.turn();
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const message = `a pack was not sent because it does not decode to what was packed: ${error.message}`;
    throw new TransferError("verification", message, { retryable: true, cause: error });
  }
}
