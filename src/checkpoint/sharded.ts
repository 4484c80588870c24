import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, parseSafetensorsIndex, type SafetensorsIndex } from "../format/index.js";
import type { CheckpointFile, OpenFiles } from "./checkpoint-file.js";
import { CheckpointError, withErrors } from "./errors.js";
import { isFile, type Looked, lookAtAll, type Problem } from "./look.js";
import { fileRole, SAVE_KEYS, setOfIndex, shardFiles } from "./names.js";

/** Far more than there are anywhere, and few enough to go through. */
const RANKS_MAX = 100_000;

/**
 * The files that an index stands for: those it names, and where podfs has written it, those of all ranks, as one may
 * have nothing but what others have too.
 */
export interface Indexed {
  readonly index: SafetensorsIndex;
  /** Sorted. */
  readonly files: readonly string[];
  /** What was read. */
  readonly text: string;
}

/**
 * The files of a checkpoint that has its index.
 * @param kept keeps them open.
 * @throws CheckpointError incomplete, damaged, not-found, io
 */
export async function openSharded(
  directory: string,
  indexName: string,
  kept?: OpenFiles,
): Promise<{ readonly index: SafetensorsIndex; readonly files: readonly CheckpointFile[] }> {
  const { index, looked, problem } = await lookAtSharded(directory, indexName, kept);
  if (problem !== undefined) throw new CheckpointError(problem[0], `${join(directory, indexName)}: ${problem[1]}`);
  return { index, files: looked.filter(isFile) };
}

/**
 * The same, also where something is wrong.
 *
 * When a checkpoint is replaced, its files go after its index: who has read that just before finds them gone, and reads the
 * index again.
 */
export async function lookAtSharded(
  directory: string,
  indexName: string,
  kept?: OpenFiles,
): Promise<Indexed & { readonly looked: readonly Looked[]; readonly problem: Problem }> {
  let indexed = await readIndex(directory, indexName);
  for (;;) {
    const looked = await lookAtAll(directory, indexed.files, kept);
    const problem = problemOf(indexed, looked);
    if (problem === undefined) return { ...indexed, looked, problem };
    const now = await readIndex(directory, indexName);
    if (now.text === indexed.text) return { ...indexed, looked, problem };
    indexed = now;
  }
}

/** @throws CheckpointError damaged, not-found, io */
export async function readIndex(directory: string, fileName: string): Promise<Indexed> {
  const path = join(directory, fileName);
  const text = await withErrors(path, () => readFile(path, "utf8"));
  try {
    const index = parseSafetensorsIndex(text);
    const name = fileRole(fileName)?.checkpoint ?? "";
    const ranks = Number(index.metadata.get(SAVE_KEYS.ranks) ?? 0);
    const own = ranks > 1 && ranks <= RANKS_MAX ? shardFiles(name, ranks, setOfIndex(index.metadata)) : [];
    return { index, files: [...new Set([...own, ...index.files.values()])].sort(), text };
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CheckpointError("damaged", `${path}: ${cause.message}`, { cause });
  }
}

function problemOf({ index, files }: Indexed, looked: readonly Looked[]): Problem {
  for (const one of looked) if (!isFile(one) && one.error.kind !== "not-found") return ["damaged", one.reason];
  const there = looked.filter(isFile);
  if (there.length < files.length) return ["incomplete", `${there.length} of ${files.length} ranks`];
  const id = index.metadata.get(SAVE_KEYS.save) ?? there.find(({ saveId }) => saveId !== undefined)?.saveId;
  const own = there.filter(({ saveId }) => saveId === id).length;
  if (own < files.length) return ["incomplete", `${own} of ${files.length} ranks; the rest is of another save`];
  const byName = new Map(there.map((file) => [file.fileName, file]));
  for (const [tensor, fileName] of index.files) {
    const file = byName.get(fileName);
    if (file?.places.has(tensor) !== true) {
      return ["damaged", `the index has tensor ${JSON.stringify(tensor)} in ${fileName}, which has not`];
    }
  }
  return undefined;
}
