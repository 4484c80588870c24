/**
 * Checkpoints of several processes: one file per rank, and an index that appears when every one of them is whole.
 *
 * No rank waits for another to say that it has finished. Each, when its own file has got its name, looks at all of them; the
 * one that finds all whole, and all of this save, writes the index. Two ranks that finish at once both do: it says the same, and
 * a rename is one step. So a rank that dies leaves files without an index, which are no checkpoint, and files that an
 * earlier save left under the same name never count, as they carry another id. podfs's Python package does the same.
 */
import { readdir } from "node:fs/promises";
import { encodeSafetensorsIndex } from "../format/index.js";
import type { CheckpointFile } from "./checkpoint-file.js";
import { CheckpointError, type CheckpointErrorKind, withErrors } from "./errors.js";
import { dataFiles, type Layout } from "./layout.js";
import { isFile, lookAtAll } from "./look.js";
import { indexFile, SAVE_KEYS, setOfIndex, setValue } from "./names.js";
import { readIndex } from "./sharded.js";

/** What a file is that its rank has not saved yet, or not in this save. */
const NOT_WHOLE: ReadonlySet<CheckpointErrorKind> = new Set(["not-found", "damaged", "not-checkpoint"]);

/**
 * The files of all ranks, if this one is to write the index.
 * @returns undefined while some are missing, and when another rank was first.
 * @throws CheckpointError io …
 */
export async function filesToIndex(layout: Layout): Promise<CheckpointFile[] | undefined> {
  const { directory, saveId, ranks } = layout;
  const names = dataFiles(layout);
  // On NFS it is also the opening of the directory that brings in the names that other machines have made.
  const there = new Set(await withErrors(directory, () => readdir(directory)));
  if (!names.every((name) => there.has(name))) return undefined;
  const looked = await lookAtAll(directory, names);
  for (const one of looked) if (!isFile(one) && !NOT_WHOLE.has(one.error.kind)) throw one.error;
  const whole = looked.filter(isFile).filter((file) => file.saveId === saveId);
  return whole.length < ranks || (await isIndexed(layout)) ? undefined : whole;
}

/**
 * The index of these files, in the order of their ranks. A tensor that several have saved is the lowest one's.
 */
export function encodeIndex({ saveId, set }: Layout, files: readonly CheckpointFile[]): Uint8Array {
  const byTensor = new Map<string, string>();
  for (const { places, fileName } of files) {
    for (const tensor of places.keys()) if (!byTensor.has(tensor)) byTensor.set(tensor, fileName);
  }
  return encodeSafetensorsIndex({
    files: byTensor,
    dataBytes: files.reduce((sum, { sizeBytes, dataOffset }) => sum + sizeBytes - dataOffset, 0),
    metadata: new Map([
      [SAVE_KEYS.save, saveId],
      // Each rank has noted its own.
      [SAVE_KEYS.time, String(Math.max(...files.map(({ savedMs }) => savedMs ?? 0)))],
      [SAVE_KEYS.ranks, String(files.length)],
      [SAVE_KEYS.set, setValue(set)],
    ]),
  });
}

async function isIndexed({ directory, checkpoint, saveId, set }: Layout): Promise<boolean> {
  try {
    const { metadata } = (await readIndex(directory, indexFile(checkpoint))).index;
    return metadata.get(SAVE_KEYS.save) === saveId && setOfIndex(metadata) === set;
  } catch (error) {
    if (error instanceof CheckpointError && NOT_WHOLE.has(error.kind)) return false;
    throw error;
  }
}
