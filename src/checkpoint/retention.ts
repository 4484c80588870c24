/**
 * Which files go when a new checkpoint is there: those it replaces, and with `keep` older checkpoints.
 *
 * Nothing is removed here: the names go with the commit of the new checkpoint, and are removed when that is in the volume, so
 * that at no moment the volume has fewer than are wanted.
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { ignore, systemClock, UserError } from "../base/index.js";
import { filesOf, listCheckpoints } from "./catalog.js";
import { timeOf } from "./checkpoint-file.js";
import { CheckpointError } from "./errors.js";
import type { CheckpointInfo } from "./inspect.js";
import { allFiles, type Layout } from "./layout.js";
import { isFile, look } from "./look.js";
import { indexFirst, SAVE_KEYS } from "./names.js";
import { type Indexed, readIndex } from "./sharded.js";

/**
 * Files without an index are what a rank that died has left, or a save that still runs: this long after the last one was
 * written, no save still runs.
 */
const ABANDONED_AFTER_MS = 24 * 3_600_000;

/** @throws UserError it makes no sense. */
export function checkKeep(keep: number | undefined): void {
  if (keep === undefined || (Number.isSafeInteger(keep) && keep >= 1)) return;
  throw new UserError(`keep: ${keep}: at least the checkpoint that is being saved is kept`);
}

/**
 * The files of a checkpoint's name that its new layout does not have: those of the checkpoint that is replaced, and what saves
 * that were killed have left. Not those of a later save, which some of the ranks may have begun already.
 * @param startMs when the first rank began this save: each rank's files of a later one are younger than its own of this one.
 * @param overwrite also what other programs have written.
 */
export async function replacedFiles(layout: Layout, startMs: number, overwrite: boolean): Promise<string[]> {
  const { directory, checkpoint, ranks } = layout;
  const { single, index, shards } = await filesOf(directory, checkpoint);
  const indexed = await indexOf(directory, index);
  // A time is missing in what other programs have written, and in what cannot be read.
  const isOver = (ms: number | undefined): boolean => (ms === undefined ? overwrite : ms <= startMs);
  const isIndexOver = ranks > 1 || isOver(indexed && timeOf(indexed.index.metadata));
  const named = new Set(isIndexOver ? indexed?.files : []);
  const old: string[] = [];
  if (index !== undefined && isIndexOver) old.push(index);
  if (single !== undefined && isOver(await fileTimeMs(directory, single))) old.push(single);
  for (const shard of shards.flatMap(({ files }) => files)) {
    const ms = await fileTimeMs(directory, shard);
    if (ms === undefined ? overwrite && named.has(shard) : ms < startMs || named.has(shard)) old.push(shard);
  }
  const own = new Set(allFiles(layout));
  return old.filter((name) => !own.has(name));
}

/**
 * The files of checkpoints beyond the newest `keep`, `saving` among those, and of abandoned saves that are older than all that
 * stay. Only what podfs wrote; an index comes before the files it names: a crash in between leaves no checkpoint, not
 * half a one.
 */
export async function superseded(directory: string, keep: number, saving: string): Promise<string[]> {
  const ours: CheckpointInfo[] = [];
  for (const info of await listCheckpoints(directory)) {
    if (info.savedBy === "podfs" && info.name !== saving && (await isOfASeries(directory, info))) ours.push(info);
  }
  const complete = ours.filter(({ state }) => state === "complete");
  const staying = new Set([...new Set(complete.map(({ name }) => name))].slice(0, keep - 1));
  const oldestMs = Math.min(...complete.filter(({ name }) => staying.has(name)).map(({ savedMs }) => savedMs));
  const going = complete.filter(({ name }) => !staying.has(name));
  for (const info of ours) {
    if (info.state === "incomplete" && info.savedMs < oldestMs && (await isAbandoned(directory, info)))
      going.push(info);
  }
  return going.flatMap(({ files }) => indexFirst(files));
}

async function indexOf(directory: string, index: string | undefined): Promise<Indexed | undefined> {
  if (index === undefined) return undefined;
  return readIndex(directory, index).catch((error: unknown) => {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  });
}

/** When its save began; undefined for a file of another program, and one that cannot be read. */
async function fileTimeMs(directory: string, name: string): Promise<number | undefined> {
  const looked = await look(directory, name);
  return isFile(looked) ? looked.savedMs : undefined;
}

/** False for what Python's `podfs.save` has written: single files, which their owner counts. */
async function isOfASeries(directory: string, { files }: CheckpointInfo): Promise<boolean> {
  const [first, ...others] = files;
  if (first === undefined || others.length > 0) return others.length > 0;
  const looked = await look(directory, first);
  return isFile(looked) && looked.metadata.has(SAVE_KEYS.ranks);
}

async function isAbandoned(directory: string, { files }: CheckpointInfo): Promise<boolean> {
  const stats = await Promise.all(files.map((file) => lstat(join(directory, file)).catch(ignore)));
  const newestMs = Math.max(...stats.map((found) => found?.mtimeMs ?? Number.POSITIVE_INFINITY));
  return newestMs < systemClock.nowMs() - ABANDONED_AFTER_MS;
}
