import type { TensorPlace } from "../format/index.js";
import { filesOf, findCheckpoint } from "./catalog.js";
import { type CheckpointFile, openCheckpointFile } from "./checkpoint-file.js";
import { CheckpointError } from "./errors.js";
import { openSharded } from "./inspect.js";
import { fileRole, SAVE_KEYS } from "./names.js";

export interface Where {
  readonly directory: string;
  readonly name: string;
}

/** A tensor of a checkpoint, and the file it is in. */
export interface Found {
  readonly file: CheckpointFile;
  readonly place: TensorPlace;
}

/**
 * Finds every tensor of a checkpoint, or of one rank (from 0) of it.
 * @throws CheckpointError not-found, incomplete, damaged; mismatch: there is no such rank.
 */
export async function openCheckpoint(where: Where, rank?: number): Promise<ReadonlyMap<string, Found>> {
  const { directory, name } = where;
  const { single, index } = await filesOf(directory, name);
  if (index !== undefined && (single === undefined || (await isNewer(directory, index, single)))) {
    return openRanks(directory, index, rank);
  }
  if (single !== undefined) {
    if (rank !== undefined && rank !== 0)
      throw new CheckpointError("mismatch", `${name} is of one rank: no rank ${rank}`);
    return placesOf(await openCheckpointFile(directory, single));
  }
  const [{ reason }] = await findCheckpoint(directory, name);
  throw new CheckpointError("incomplete", `${name} in ${directory} is incomplete: ${reason}`);
}

/** Both are there while a save of another number of ranks is about to remove what it replaces. */
async function isNewer(directory: string, index: string, single: string): Promise<boolean> {
  try {
    const [sharded, { savedMs }] = await Promise.all([
      openSharded(directory, index),
      openCheckpointFile(directory, single),
    ]);
    return Number(sharded.index.metadata.get(SAVE_KEYS.time) ?? 0) > (savedMs ?? 0);
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}

async function openRanks(directory: string, indexName: string, rank?: number): Promise<ReadonlyMap<string, Found>> {
  const { index, files } = await openSharded(directory, indexName);
  if (rank !== undefined) {
    const file = files.find(({ fileName }) => rankOf(fileName) === rank);
    if (file === undefined) throw new CheckpointError("mismatch", `${indexName}: there is no rank ${rank}`);
    return placesOf(file);
  }
  const byName = new Map(files.map((file) => [file.fileName, file]));
  const found = new Map<string, Found>();
  for (const [tensor, fileName] of index.files) {
    const file = byName.get(fileName);
    const place = file?.places.get(tensor);
    if (file !== undefined && place !== undefined) found.set(tensor, { file, place });
  }
  return found;
}

function placesOf(file: CheckpointFile): ReadonlyMap<string, Found> {
  return new Map([...file.places].map(([name, place]) => [name, { file, place }]));
}

function rankOf(fileName: string): number | undefined {
  const role = fileRole(fileName);
  return role?.role === "shard" ? role.number - 1 : undefined;
}
