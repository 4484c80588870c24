import { open } from "node:fs/promises";
import { allocateReadBuffer } from "../../base/index.js";
import { bodySizeBytes, type PutBody } from "../object-store.js";

const COMPARE_BUFFER_BYTES = 1 << 20;

/** True when `stored` is byte for byte what `body` would send. */
export async function holdsBody(stored: Uint8Array, body: PutBody): Promise<boolean> {
  if (stored.byteLength !== bodySizeBytes(body)) return false;
  if (body instanceof Uint8Array) return Buffer.compare(stored, body) === 0;
  const handle = await open(body.path, "r");
  try {
    const buffer = allocateReadBuffer(COMPARE_BUFFER_BYTES);
    for (let offset = 0; offset < stored.byteLength; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, offset);
      if (bytesRead === 0) return false;
      const part = stored.subarray(offset, offset + bytesRead);
      if (Buffer.compare(part, buffer.subarray(0, part.byteLength)) !== 0) return false;
      offset += bytesRead;
    }
    return true;
  } finally {
    await handle.close();
  }
}
