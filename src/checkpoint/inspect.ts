import { join } from "node:path";
import { CheckpointError } from "./errors.js";
import { isFile, isThere, type Looked, look, lookAtAll, type Problem } from "./look.js";
import { lookAtSharded } from "./sharded.js";

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
  readonly shards: readonly Shards[];
}

/** Files of ranks whose names belong together. */
export interface Shards {
  /** As many as their names say that there are. */
  readonly ranks: number;
  readonly set: string;
  readonly files: readonly string[];
}

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
  { ranks, files }: Shards,
): Promise<CheckpointInfo> {
  const looked = await lookAtAll(directory, files);
  const whole = looked.filter(isFile);
  const newest = [...whole].sort((a, b) => savedMs(b) - savedMs(a))[0];
  const present = whole.filter(({ saveId }) => saveId === newest?.saveId).length;
  const missing = present === ranks ? "its index is missing" : `${present} of ${ranks} ranks`;
  return describe(name, looked, { ranks, problem: ["incomplete", missing] });
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

function savedMs(looked: Looked): number {
  return (isFile(looked) ? looked.savedMs : undefined) ?? looked.modifiedMs;
}
