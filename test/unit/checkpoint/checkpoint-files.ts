import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { planSafetensors, type TensorType } from "../../../src/format/index.js";

export interface RankFile {
  readonly rank?: number;
  readonly ranks?: number;
  /** Of the save; absent: not written by podfs. */
  readonly id?: string;
  readonly timeMs?: number;
  readonly tensors?: Readonly<Record<string, TensorType>>;
  readonly aliases?: Readonly<Record<string, string>>;
  /** False for what Python's `podfs.save` writes. */
  readonly ofSeries?: boolean;
}

const WEIGHT = { weight: { dtype: "F32", shape: [2, 3] } } as const;

/** The bytes of one file of a checkpoint, as podfs or another program would have written it; its tensors are zeros. */
export function rankBytes(file: RankFile): Buffer {
  const { rank = 0, ranks = 1, id, timeMs = 1, tensors = WEIGHT, aliases = {}, ofSeries = true } = file;
  const stamp: Record<string, string> = {
    ...(id !== undefined && { "podfs.save": id, "podfs.time": `${timeMs}` }),
    ...(id !== undefined && ofSeries && { "podfs.rank": `${rank}`, "podfs.ranks": `${ranks}` }),
  };
  for (const [alias, name] of Object.entries(aliases)) stamp[`podfs.alias.${alias}`] = name;
  const { header, sizeBytes } = planSafetensors(new Map(Object.entries(tensors)), new Map(Object.entries(stamp)));
  return Buffer.concat([header], sizeBytes);
}

/** Writes the file of one rank (several, if `ranks` > 1, have their number in the name). @returns its name. */
export async function writeRank(directory: string, name: string, file: RankFile = {}): Promise<string> {
  const { rank = 0, ranks = 1 } = file;
  const five = (number: number): string => `${number}`.padStart(5, "0");
  const fileName = `${name}${ranks === 1 ? "" : `-${five(rank + 1)}-of-${five(ranks)}`}.safetensors`;
  await writeFile(join(directory, fileName), rankBytes(file));
  return fileName;
}

export interface IndexFile {
  readonly files: Readonly<Record<string, string>>;
  readonly id?: string;
  readonly timeMs?: number;
  readonly ranks?: number;
}

export async function writeIndex(directory: string, name: string, index: IndexFile): Promise<void> {
  const { files, id, timeMs = 1, ranks = 2 } = index;
  const own = id === undefined ? {} : { "podfs.save": id, "podfs.time": `${timeMs}`, "podfs.ranks": `${ranks}` };
  const text = JSON.stringify({ metadata: { total_size: 48, ...own }, weight_map: files });
  await writeFile(join(directory, `${name}.safetensors.index.json`), text);
}

/** A whole checkpoint of two ranks, `a` in the first file and `b` in the second. */
export async function writeTwoRanks(directory: string, name: string, id: string, timeMs = 1): Promise<void> {
  const of = (tensor: string) => ({ [tensor]: WEIGHT.weight });
  const a = await writeRank(directory, name, { rank: 0, ranks: 2, id, timeMs, tensors: of("a") });
  const b = await writeRank(directory, name, { rank: 1, ranks: 2, id, timeMs, tensors: of("b") });
  await writeIndex(directory, name, { files: { a, b }, id, timeMs });
}
