import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, withErrors } from "./errors.js";
import {
  type CheckpointInfo,
  type FileGroup,
  inspectSharded,
  inspectShards,
  inspectSingle,
  type Shards,
} from "./inspect.js";
import { type FileRole, fileRole, indexFile, type ShardName, singleFile } from "./names.js";

/**
 * The checkpoints in a directory, newest first: also those that podfs did not write. Reads headers only.
 * @throws CheckpointError not-found, not-directory, io
 */
export async function listCheckpoints(directory: string): Promise<CheckpointInfo[]> {
  const groups = groupFiles(await withErrors(directory, () => readdir(directory)));
  const all: CheckpointInfo[] = [];
  // One after the other: headers can be large, and directories too.
  for (const group of groups.values()) all.push(...(await inspectGroup(directory, group)));
  return all.sort((a, b) => b.savedMs - a.savedMs || (a.name < b.name ? -1 : 1));
}

/**
 * What there is of one checkpoint: mostly one, but an overwritten one may have left files of before.
 * @throws CheckpointError not-found: nothing; …
 */
export async function findCheckpoint(directory: string, name: string): Promise<[CheckpointInfo, ...CheckpointInfo[]]> {
  const [first, ...others] = await inspectGroup(directory, await filesOf(directory, name));
  if (first === undefined) throw new CheckpointError("not-found", `there is no checkpoint ${name} in ${directory}`);
  return [first, ...others];
}

/** The files that have a checkpoint's name, without looking into them. @throws CheckpointError not-found: the directory. */
export async function filesOf(directory: string, name: string): Promise<FileGroup> {
  const groups = groupFiles(await withErrors(directory, () => readdir(directory)));
  const group = groups.get(name) ?? { name, shards: [] };
  // A listing may miss a name that a new file takes over meanwhile.
  const single = group.single ?? (await ifThere(directory, singleFile(name)));
  const index = group.index ?? (await ifThere(directory, indexFile(name)));
  return { ...group, ...(single !== undefined && { single }), ...(index !== undefined && { index }) };
}

async function ifThere(directory: string, fileName: string): Promise<string | undefined> {
  return lstat(join(directory, fileName)).then(
    () => fileName,
    () => undefined,
  );
}

function groupFiles(fileNames: readonly string[]): Map<string, FileGroup> {
  const groups = new Map<string, FileGroup>();
  for (const fileName of fileNames) {
    const role = fileRole(fileName);
    if (role === undefined) continue;
    const group = groups.get(role.checkpoint) ?? { name: role.checkpoint, shards: [] };
    groups.set(role.checkpoint, withFile(group, role, fileName));
  }
  return groups;
}

function withFile(group: FileGroup, role: FileRole, fileName: string): FileGroup {
  switch (role.role) {
    case "single":
      return { ...group, single: fileName };
    case "index":
      return { ...group, index: fileName };
    case "shard":
      return { ...group, shards: withShard(group.shards, role, fileName) };
  }
}

function withShard(all: readonly Shards[], { ranks, set }: ShardName, fileName: string): Shards[] {
  const own = all.find((shards) => shards.ranks === ranks && shards.set === set) ?? { ranks, set, files: [] };
  return [...all.filter((shards) => shards !== own), { ...own, files: [...own.files, fileName] }];
}

async function inspectGroup(directory: string, group: FileGroup): Promise<CheckpointInfo[]> {
  const single = group.single === undefined ? [] : [await inspectSingle(directory, group, group.single)];
  const sharded = group.index === undefined ? [] : [await inspectSharded(directory, group, group.index)];
  const indexed = new Set(sharded.flatMap(({ files }) => files));
  const loose: CheckpointInfo[] = [];
  for (const { files, ...shards } of group.shards) {
    const left = files.filter((file) => !indexed.has(file));
    if (left.length > 0) loose.push(await inspectShards(directory, group, { ...shards, files: left }));
  }
  return [...single, ...sharded, ...loose];
}
