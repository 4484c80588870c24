import type { ChunkHash } from "../../base/index.js";
import { CHUNK_SIZE_BYTES, hashChunk } from "../../format/index.js";
import type { HashedFile, HashRequest } from "../transfer.js";
import { LocalFiles } from "./local-files.js";
import { Pacer } from "./pacer.js";

/**
 * Hashes chunks of local files. Holes are read like everything else: what a filesystem says about allocated blocks is
 * late where allocation is delayed (ZFS, btrfs), and a hole that is none would lose data.
 */
export async function hashFiles(requests: readonly HashRequest[]): Promise<HashedFile[]> {
  const files = new LocalFiles("read");
  const pacer = new Pacer();
  // Of this job alone: while it gives way to another one, its bytes must stay.
  const buffer = Buffer.allocUnsafeSlow(CHUNK_SIZE_BYTES);
  try {
    const hashed: HashedFile[] = [];
    for (const request of requests) hashed.push(await hashFile(files, request, buffer, pacer));
    return hashed;
  } finally {
    files.closeAll();
  }
}

async function hashFile(files: LocalFiles, request: HashRequest, buffer: Buffer, pacer: Pacer): Promise<HashedFile> {
  let sizeBytes = request.sizeBytes;
  const hashes: (ChunkHash | null)[] = [];
  for (const index of indexesOf(request)) {
    const start = index * CHUNK_SIZE_BYTES;
    const length = Math.max(0, Math.min(CHUNK_SIZE_BYTES, sizeBytes - start));
    const count = length === 0 ? 0 : files.read(request.path, buffer.subarray(0, length), start);
    if (count < length) sizeBytes = start + count;
    hashes.push(hashChunk(buffer.subarray(0, count)));
    await pacer.turn();
  }
  return { sizeBytes, hashes };
}

function* indexesOf({ chunks, sizeBytes }: HashRequest): Iterable<number> {
  if (chunks !== "all") {
    yield* chunks;
    return;
  }
  const count = Math.ceil(sizeBytes / CHUNK_SIZE_BYTES);
  for (let index = 0; index < count; index++) yield index;
}
