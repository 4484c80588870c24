import { writeFile } from "node:fs/promises";
import { loadAddon } from "../../dist/native/index.js";
import { timed } from "./commands.mjs";

/**
 * Writes a file through a ring, as the mount does for its clients: slot after slot as they become free, then fsync.
 *
 * @returns bytes per second
 */
export async function writeThroughRing(path, { bytes, slots, slotBytes }) {
  const addon = loadAddon();
  const ring = addon.createRing({ slots, slotBytes, numaNode: -1 });
  const io = addon.createStagingIo();
  try {
    // The pages of the ring are there, as they are in the second save of a training.
    for (let slot = 0; slot < slots; slot++) ring.slot(slot).fill(slot + 1);
    await writeFile(path, "");
    const file = await io.open(path, "write", 0);
    if (!file.direct) throw new Error(`O_DIRECT is refused for ${path}`);
    const seconds = await timed(() => writeAll(file, ring, bytes));
    file.close();
    return bytes / seconds;
  } finally {
    io.close();
    ring.close();
  }
}

async function writeAll(file, ring, bytes) {
  await file.allocate(bytes);
  const pieces = Array.from(
    { length: Math.ceil(bytes / ring.slotBytes) },
    (_, index) => index * ring.slotBytes,
  ).values();
  const lane = async (_, slot) => {
    for (const position of pieces) await file.write(ring, slot, position, Math.min(ring.slotBytes, bytes - position));
  };
  await Promise.all(Array.from({ length: ring.slots }, lane));
  await file.finish(bytes);
}
