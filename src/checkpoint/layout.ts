import { join } from "node:path";
import { filesOf } from "./catalog.js";
import { CheckpointError } from "./errors.js";
import { checkLength, indexFile, setOfSave, shardFile, shardFiles, singleFile } from "./names.js";
import type { Placement } from "./placement.js";

/** The files of one save, and which of them is this process's. */
export interface Layout extends Placement {
  readonly directory: string;
  readonly checkpoint: string;
  readonly saveId: string;
  /** See names.ts. */
  readonly set: string;
}

export interface NewSave extends Placement {
  readonly directory: string;
  readonly checkpoint: string;
  readonly saveId: string;
  readonly overwrite: boolean;
}

/**
 * Where a save goes: plain names where there is nothing to replace, files without an index apart.
 * @throws CheckpointError exists: a checkpoint of this name, and it is not to be replaced; invalid-name: it is too long.
 */
export async function planLayout(save: NewSave): Promise<Layout> {
  const { directory, checkpoint, rank, ranks, saveId, overwrite } = save;
  const set = overwrite && ranks > 1 ? setOfSave(saveId) : "";
  const layout = { directory, checkpoint, rank, ranks, saveId, set };
  checkLength(ownFile(layout));
  if (overwrite) return layout;
  const { single, index } = await filesOf(directory, checkpoint);
  const there = single ?? index;
  if (there === undefined) return layout;
  throw new CheckpointError("exists", `${join(directory, there)} exists; overwrite: true replaces it`);
}

export function ownFile({ checkpoint, rank, ranks, set }: Layout): string {
  return ranks === 1 ? singleFile(checkpoint) : shardFile(checkpoint, rank, ranks, set);
}

/** The files of all ranks. */
export function dataFiles({ checkpoint, ranks, set }: Layout): string[] {
  return ranks === 1 ? [singleFile(checkpoint)] : shardFiles(checkpoint, ranks, set);
}

export function allFiles(layout: Layout): string[] {
  return layout.ranks === 1 ? dataFiles(layout) : [indexFile(layout.checkpoint), ...dataFiles(layout)];
}
