import { basename, dirname } from "node:path";
import { CheckpointError } from "./errors.js";

/**
 * A checkpoint NAME is the file `NAME.safetensors`, or, of several ranks, `NAME-00001-of-0000n.safetensors` and so on, with
 * the index `NAME.safetensors.index.json` that appears when all of them are whole: the layout of Hugging Face.
 *
 * A save that may replace another names its files for itself, `NAME-00001-of-0000n.0123456789abcdef.safetensors`, so that those of
 * the other stay until the new index is there; that says which set of files is its own.
 */

const SUFFIX = ".safetensors";
const INDEX_SUFFIX = ".safetensors.index.json";
const SHARD = /^(.+)-(\d{5,})-of-(\d{5,})(?:\.([0-9a-f]{1,16}))?$/;
const SET = /^[0-9a-f]{1,16}$/;
const SET_DIGITS = 16;
/** How an index calls files without a set in their names; one that says nothing means them, too. */
const PLAIN_SET = "1";
const FILE_NAME_BYTES_MAX = 255;

/** What podfs writes into `__metadata__`, all of it text. */
export const SAVE_KEYS = {
  /** Which save a file belongs to: 32 hexadecimal digits, the same for all ranks. */
  save: "podfs.save",
  /** When it began: milliseconds since 1970. */
  time: "podfs.time",
  /** From 0. */
  rank: "podfs.rank",
  ranks: "podfs.ranks",
  /** Of the index only: the set in its files' names, "1" where there is none. */
  set: "podfs.set",
} as const;
/** `podfs.alias.NAME` is the name under which the bytes of a tied tensor are stored. */
export const ALIAS_PREFIX = "podfs.alias.";
/** Keys that are not the user's. */
export const RESERVED_PREFIX = "podfs.";

export interface ShardName {
  readonly checkpoint: string;
  /** From 1, as in the file's name. */
  readonly number: number;
  readonly ranks: number;
  /** What the names of one save's files have in common beside the checkpoint's; empty for plain names. */
  readonly set: string;
}

/** What a file's name says of it. */
export type FileRole =
  | { readonly role: "single"; readonly checkpoint: string }
  | { readonly role: "index"; readonly checkpoint: string }
  | ({ readonly role: "shard" } & ShardName);

export function singleFile(checkpoint: string): string {
  return checkpoint + SUFFIX;
}

/** @param rank from 0. */
export function shardFile(checkpoint: string, rank: number, ranks: number, set: string): string {
  const five = (number: number): string => String(number).padStart(5, "0");
  return `${checkpoint}-${five(rank + 1)}-of-${five(ranks)}${set && `.${set}`}${SUFFIX}`;
}

/** The files of all ranks, in their order. */
export function shardFiles(checkpoint: string, ranks: number, set: string): string[] {
  return Array.from({ length: ranks }, (_, rank) => shardFile(checkpoint, rank, ranks, set));
}

export function indexFile(checkpoint: string): string {
  return checkpoint + INDEX_SUFFIX;
}

/** The set of a save that may replace another. */
export function setOfSave(saveId: string): string {
  return saveId.slice(0, SET_DIGITS);
}

/** How an index calls a set. */
export function setValue(set: string): string {
  return set || PLAIN_SET;
}

/** The set whose files an index stands for. */
export function setOfIndex(metadata: ReadonlyMap<string, string>): string {
  const set = metadata.get(SAVE_KEYS.set) ?? PLAIN_SET;
  return set !== PLAIN_SET && SET.test(set) ? set : "";
}

/** The order to remove files in: without its index a checkpoint is none, so that nobody sees it with files missing. */
export function indexFirst(files: readonly string[]): string[] {
  const isIndex = (file: string): number => Number(file.endsWith(INDEX_SUFFIX));
  return [...files].sort((a, b) => isIndex(b) - isIndex(a) || (a < b ? -1 : 1));
}

/** Undefined for files that are of no checkpoint; hidden ones, which saves that are not committed write, are of none. */
export function fileRole(fileName: string): FileRole | undefined {
  if (fileName.startsWith(".")) return undefined;
  if (fileName.endsWith(INDEX_SUFFIX)) return role("index", fileName.slice(0, -INDEX_SUFFIX.length));
  if (!fileName.endsWith(SUFFIX)) return undefined;
  const stem = fileName.slice(0, -SUFFIX.length);
  const shard = parseShard(stem);
  return shard === undefined ? role("single", stem) : { role: "shard", ...shard };
}

function role(name: "single" | "index", checkpoint: string): FileRole | undefined {
  return checkpoint === "" ? undefined : { role: name, checkpoint };
}

function parseShard(stem: string): ShardName | undefined {
  const [, checkpoint, number, ranks, set = ""] = SHARD.exec(stem) ?? [];
  if (checkpoint === undefined || Number(number) < 1 || Number(number) > Number(ranks)) return undefined;
  return { checkpoint, number: Number(number), ranks: Number(ranks), set };
}

/**
 * The name without its suffix, if it was given with it.
 * @throws CheckpointError invalid-name
 */
export function checkName(given: string): string {
  const name = given.endsWith(SUFFIX) ? given.slice(0, -SUFFIX.length) : given;
  const fail = (why: string): never => {
    throw new CheckpointError("invalid-name", `${JSON.stringify(given)} is no name for a checkpoint: ${why}`);
  };
  if (name === "" || name.startsWith(".")) fail("it is empty, or begins with a dot");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[/\u0000-\u001f\u007f]/.test(name)) fail('it has "/" or a control character in it');
  if (parseShard(name) !== undefined) fail("it looks like the file of one rank");
  if (Buffer.byteLength(indexFile(name)) > FILE_NAME_BYTES_MAX) {
    fail(`it is longer than ${FILE_NAME_BYTES_MAX - INDEX_SUFFIX.length} bytes`);
  }
  return name;
}

/** @throws CheckpointError invalid-name: no file can have it. */
export function checkLength(fileName: string): string {
  if (Buffer.byteLength(fileName) <= FILE_NAME_BYTES_MAX) return fileName;
  throw new CheckpointError(
    "invalid-name",
    `${fileName} is longer than the ${FILE_NAME_BYTES_MAX} bytes of a file's name`,
  );
}

/** Where a checkpoint is, said by the path of it, with or without suffix. @throws CheckpointError invalid-name */
export function parseCheckpointPath(path: string): { readonly directory: string; readonly name: string } {
  const given = basename(path);
  return {
    directory: dirname(path),
    name: checkName(given.endsWith(INDEX_SUFFIX) ? given.slice(0, -INDEX_SUFFIX.length) : given),
  };
}
