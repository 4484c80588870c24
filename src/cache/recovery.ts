import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { type ContentId, type Ino, ignore, Limiter } from "../base/index.js";
import type { LocalFile, Metadata } from "../meta/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import { ContentIds } from "./content-ids.js";
import type { CacheCore } from "./core.js";
import { closedByWriter, countOf, isOpenForWriting, NOTHING_COUNTED } from "./local-images.js";
import { openDescriptor } from "./open-files.js";

const STATS_MAX = 32;
const NS_PER_S = 1_000_000_000n;
const DISK_BLOCK_BYTES = 512;
const LOST_PREFIX = "content.lost.";

/**
 * When the records of a cache directory are new but content files are there, the records were lost (power failed, and
 * they were loaded from the volume again): sets all files aside, and brings back those that are known to be dirty.
 * Nothing else can be told from garbage. Before anything else uses the directory.
 */
export async function adoptDirectory(directory: CacheDirectory, metadata: Metadata): Promise<void> {
  if (!ContentIds.isKnown(metadata)) {
    const dirty = Array.from(metadata.dirtyFiles(), ([, local]) => local.contentId);
    const left = await readdir(directory.contentRoot);
    if (left.length > 0) await rename(directory.contentRoot, await lostName(directory));
    await mkdir(directory.contentRoot, { recursive: true, mode: 0o700 });
    await directory.makeContentDirectories();
    const lost = await lostTrees(directory);
    for (const id of dirty) await bringBack(directory, lost, id);
    ContentIds.startAbove(metadata, dirty);
  }
}

/** Deletes what {@link adoptDirectory} set aside. In the background: it may be millions of files. */
export async function deleteLost(directory: CacheDirectory): Promise<void> {
  for (const tree of await lostTrees(directory)) await rm(tree, { recursive: true, force: true });
}

/**
 * Puts the records of dirty files right after a crash: those that were open say nothing about size and time, the content
 * file does. Looks at dirty files only.
 */
export async function recoverDirtyFiles(core: CacheCore): Promise<void> {
  const limiter = new Limiter(STATS_MAX);
  const recovering: Promise<void>[] = [];
  for (const [ino, local] of core.parts.metadata.dirtyFiles()) {
    const recovered = limiter.run(() => recoverFile(core, ino, local));
    recovering.push(recovered);
    if (limiter.waiting >= STATS_MAX) await recovered;
  }
  await Promise.all(recovering);
}

async function recoverFile(core: CacheCore, ino: Ino, local: LocalFile): Promise<void> {
  const { directory, metadata, ledger, onProblem } = core.parts;
  const path = directory.contentPath(local.contentId);
  const found = await stat(path, { bigint: true }).catch(ignore);
  if (found === undefined) {
    onProblem(`${path}, written by inode ${ino} and not uploaded, is gone: the file is as the volume has it`);
    metadata.update((tx) => tx.deleteLocal(ino));
    ledger.move(ino, countOf(local), NOTHING_COUNTED);
    return;
  }
  let after = local;
  if (isOpenForWriting(local.generation)) {
    const sizeBytes = Number(found.size);
    const diskBytes = Number(found.blocks) * DISK_BLOCK_BYTES;
    const mtime = { sec: floorDiv(found.mtimeNs), nsec: Number(((found.mtimeNs % NS_PER_S) + NS_PER_S) % NS_PER_S) };
    after = closedByWriter(local, { sizeBytes, diskBytes, mtime }, true, local.lastUsedMs);
    metadata.update((tx) => tx.putLocal(ino, after));
    ledger.move(ino, countOf(local), countOf(after));
  }
  if (!after.complete) await openTracked(core, ino, after, path);
}

/** Its map says which blocks are to be uploaded: kept open until they are. */
async function openTracked(core: CacheCore, ino: Ino, local: LocalFile, path: string): Promise<void> {
  const { retained, onProblem } = core.parts;
  try {
    const fd = await openDescriptor(path, "existing");
    retained.retain(ino, core.mapFile(ino, local.contentId, fd), true);
  } catch (error) {
    onProblem(`inode ${ino} cannot be uploaded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function lostName(directory: CacheDirectory): Promise<string> {
  const numbers = (await lostTrees(directory)).map((tree) => Number(basename(tree).slice(LOST_PREFIX.length)));
  return join(directory.path, `${LOST_PREFIX}${Math.max(0, ...numbers) + 1}`);
}

async function lostTrees(directory: CacheDirectory): Promise<string[]> {
  const names = await readdir(directory.path);
  return names.filter((name) => name.startsWith(LOST_PREFIX)).map((name) => join(directory.path, name));
}

async function bringBack(directory: CacheDirectory, lost: readonly string[], id: ContentId): Promise<void> {
  for (const to of [directory.contentPath(id), directory.mapPath(id)]) {
    for (const tree of lost) await rename(join(tree, to.slice(directory.contentRoot.length)), to).catch(ignore);
  }
}

function floorDiv(ns: bigint): number {
  const seconds = ns / NS_PER_S;
  return Number(ns % NS_PER_S < 0n ? seconds - 1n : seconds);
}
