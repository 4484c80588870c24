import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, parseSafetensorsIndex, type SafetensorsIndex } from "../format/index.js";
import { type CheckpointFile, openCheckpointFile } from "./checkpoint-file.js";
import { CheckpointError, withErrors } from "./errors.js";
import { fileRole, SAVE_KEYS, shardFile } from "./names.js";

export interface CheckpointInfo {
  readonly name: string;
  /** In its directory; the index first, where there is one. */
  readonly files: readonly string[];
  readonly sizeBytes: number;
  /** Names that can be loaded; those of tied tensors count each. */
  readonly tensors: number;
  /** Files that its bytes are, or ought to be, in. */
  readonly ranks: number;
  /** When its save began; of files that podfs did not write, when they were last changed. Milliseconds since 1970. */
  readonly savedMs: number;
  readonly savedBy: "podfs" | "other";
  readonly state: "complete" | "incomplete" | "damaged";
  /** Why it is not complete; empty if it is. */
  readonly reason: string;
}

/** The files of a directory that belong to one name. */
export interface FileGroup {
  readonly name: string;
  readonly single?: string;
  readonly index?: string;
  /** By the number of ranks in their names. */
  readonly shards: Map<number, readonly string[]>;
}

/** A file that cannot be part of a checkpoint. */
interface BrokenFile {
  readonly fileName: string;
  readonly error: CheckpointError;
  /** The error's message, without the directory. */
  readonly reason: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

type Looked = CheckpointFile | BrokenFile;

/** Far more than there are anywhere, and few enough to go through. */
const RANKS_MAX = 100_000;

/** A checkpoint that is one file. */
export async function inspectSingle(directory: string, { name }: FileGroup, fileName: string): Promise<CheckpointInfo> {
  const looked = await look(directory, fileName);
  return describe(name, [looked], { ranks: 1, problem: isFile(looked) ? undefined : ["damaged", looked.reason] });
}

/** A checkpoint of several files that has its index. */
export async function inspectSharded(directory: string, { name }: FileGroup, index: string): Promise<CheckpointInfo> {
  try {
    const { files, looked, problem } = await lookAtSharded(directory, index);
    return describe(name, looked.filter(isThere), { ranks: files.length, index, problem });
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const reason = error.message.replace(join(directory, index), index);
    return describe(name, [], { ranks: 0, index, problem: ["damaged", reason] });
  }
}

/** Files of ranks that no index has (any more, or yet). */
export async function inspectShards(
  directory: string,
  { name }: FileGroup,
  { ranks, files }: { readonly ranks: number; readonly files: readonly string[] },
): Promise<CheckpointInfo> {
  const looked = await lookAtAll(directory, files);
  const whole = looked.filter(isFile);
  const newest = [...whole].sort((a, b) => savedMs(b) - savedMs(a))[0];
  const present = whole.filter(({ saveId }) => saveId === newest?.saveId).length;
  const missing = present === ranks ? "its index is missing" : `${present} of ${ranks} ranks`;
  return describe(name, looked, { ranks, problem: ["incomplete", missing] });
}

/**
 * The files of a checkpoint that has its index.
 * @throws CheckpointError incomplete, damaged, not-found, io
 */
export async function openSharded(
  directory: string,
  indexName: string,
): Promise<{ readonly index: SafetensorsIndex; readonly files: readonly CheckpointFile[] }> {
  const { index, looked, problem } = await lookAtSharded(directory, indexName);
  if (problem !== undefined) throw new CheckpointError(problem[0], `${join(directory, indexName)}: ${problem[1]}`);
  return { index, files: looked.filter(isFile) };
}

async function lookAtSharded(directory: string, indexName: string) {
  const { index, files } = await readIndex(directory, indexName);
  const looked = await lookAtAll(directory, files);
  return { index, files, looked, problem: problemOfSharded({ index, files }, looked) };
}

interface ShardedFiles {
  readonly index: SafetensorsIndex;
  /** All that belong to it; sorted. */
  readonly files: readonly string[];
}

/**
 * The files that an index stands for: those it names, and where podfs has written it, those of all ranks, as one may
 * have nothing but what others have too.
 */
async function readIndex(directory: string, fileName: string): Promise<ShardedFiles> {
  const path = join(directory, fileName);
  const text = await withErrors(path, () => readFile(path, "utf8"));
  try {
    const index = parseSafetensorsIndex(text);
    const name = fileRole(fileName)?.checkpoint ?? "";
    const ranks = Number(index.metadata.get(SAVE_KEYS.ranks) ?? 0);
    const own =
      ranks > 1 && ranks <= RANKS_MAX ? Array.from({ length: ranks }, (_, i) => shardFile(name, i, ranks)) : [];
    return { index, files: [...new Set([...own, ...index.files.values()])].sort() };
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CheckpointError("damaged", `${path}: ${cause.message}`, { cause });
  }
}

type Problem = readonly [state: "incomplete" | "damaged", reason: string] | undefined;

function problemOf(looked: readonly Looked[]): Problem {
  const broken = looked.find((one) => !isFile(one) && one.error.kind !== "not-found");
  return broken === undefined || isFile(broken) ? undefined : ["damaged", broken.reason];
}

function problemOfSharded({ index, files }: ShardedFiles, looked: readonly Looked[]): Problem {
  const broken = problemOf(looked);
  if (broken !== undefined) return broken;
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

function describe(
  name: string,
  looked: readonly Looked[],
  about: { readonly ranks: number; readonly index?: string; readonly problem: Problem },
): CheckpointInfo {
  const files = looked.filter(isFile);
  const names = new Set(files.flatMap(({ places }) => [...places.keys()]));
  const [state, reason] = about.problem ?? ["complete", ""];
  return {
    name,
    files: [...(about.index === undefined ? [] : [about.index]), ...looked.map(({ fileName }) => fileName)],
    sizeBytes: looked.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    tensors: names.size,
    ranks: about.ranks,
    savedMs: looked.reduce((newest, one) => Math.max(newest, savedMs(one)), 0),
    savedBy: files.some((file) => file.savedMs !== undefined) ? "podfs" : "other",
    state,
    reason,
  };
}

async function lookAtAll(directory: string, files: readonly string[]): Promise<Looked[]> {
  const all: Looked[] = [];
  for (const file of files) all.push(await look(directory, file));
  return all;
}

async function look(directory: string, fileName: string): Promise<Looked> {
  try {
    return await openCheckpointFile(directory, fileName);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const path = join(directory, fileName);
    const stats = await stat(path).catch(() => undefined);
    const reason = error.message.replace(path, fileName);
    return { fileName, error, reason, sizeBytes: stats?.size ?? 0, modifiedMs: stats?.mtimeMs ?? 0 };
  }
}

function isFile(looked: Looked): looked is CheckpointFile {
  return !("error" in looked);
}

function isThere(looked: Looked): boolean {
  return isFile(looked) || looked.error.kind !== "not-found";
}

function savedMs(looked: Looked): number {
  return (isFile(looked) ? looked.savedMs : undefined) ?? looked.modifiedMs;
}
