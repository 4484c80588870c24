import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../base/index.js";

/** Whose cache this is: who holds the lease (the same after a crash), and which volume its content belongs to. */
export interface CacheIdentity {
  /** Names this cache directory in the lease. */
  readonly id: string;
  /** Absent until the volume is known. */
  readonly volumeUuid?: string;
}

const FILE = "identity.json";

/** @throws UserError when the file is not what podfs wrote. */
export async function readCacheIdentity(cacheDir: string): Promise<CacheIdentity> {
  const path = join(cacheDir, FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { id: randomUUID() };
    throw new UserError(`cannot read ${path}: choose another --cache-dir`, error);
  }
  try {
    const { id, volumeUuid } = JSON.parse(text) as Partial<CacheIdentity>;
    if (typeof id === "string") return { id, ...(typeof volumeUuid === "string" && { volumeUuid }) };
  } catch {
    // Said below.
  }
  throw new UserError(`${path} is damaged: choose another --cache-dir, or delete this one if nothing in it is needed`);
}

/** @throws UserError when the content in there is another volume's. */
export function expectVolume(identity: CacheIdentity, cacheDir: string, volumeUuid: string | undefined): void {
  if (identity.volumeUuid === undefined || identity.volumeUuid === volumeUuid) return;
  throw new UserError(
    `the cache directory ${cacheDir} belongs to another volume (${identity.volumeUuid}): choose another with --cache-dir`,
  );
}

export async function writeCacheIdentity(cacheDir: string, identity: CacheIdentity): Promise<void> {
  const path = join(cacheDir, FILE);
  await writeFile(`${path}.new`, `${JSON.stringify(identity)}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}
