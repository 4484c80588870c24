import type { TensorPlace } from "../format/index.js";
import { filesOf, findCheckpoint } from "./catalog.js";
import { type CheckpointFile, type OpenFiles, openCheckpointFile, timeOf } from "./checkpoint-file.js";
import { CheckpointError } from "./errors.js";
import { fileRole } from "./names.js";
import { openSharded } from "./sharded.js";

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
 * @param kept keeps its files open: what replaces the checkpoint from now on is no concern of whoever reads them.
 * @throws CheckpointError not-found, incomplete, damaged; mismatch: there is no such rank.
 */
export async function openCheckpoint(
  where: Where,
  kept: OpenFiles,
  rank?: number,
): Promise<ReadonlyMap<string, Found>> {
  try {
    return await open(where, kept, rank);
  } catch (error) {
    if (!(error instanceof CheckpointError) || !["not-found", "incomplete"].includes(error.kind)) throw error;
    // Between two looks at the directory, one of another number of files may have replaced it.
    return open(where, kept, rank);
  }
}

async function open(where: Where, kept: OpenFiles, rank?: number): Promise<ReadonlyMap<string, Found>> {
  const { directory, name } = where;
  const { single, index } = await filesOf(directory, name);
  if (index !== undefined && (single === undefined || (await isNewer(directory, index, single)))) {
    return openRanks(await openSharded(directory, index, kept), index, rank);
  }
  if (single !== undefined) {
    if (rank !== undefined && rank !== 0)
      throw new CheckpointError("mismatch", `${name} is of one rank: no rank ${rank}`);
    return placesOf(await openCheckpointFile(directory, single, kept));
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
    return (timeOf(sharded.index.metadata) ?? 0) > (savedMs ?? 0);
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}

function openRanks(
  { index, files }: Awaited<ReturnType<typeof openSharded>>,
  indexName: string,
  rank?: number,
): ReadonlyMap<string, Found> {
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
