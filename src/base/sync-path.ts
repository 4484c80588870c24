import { open } from "node:fs/promises";

/** Makes a file's bytes, or a directory's entries, survive a power loss. For local disks, which can do that. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
