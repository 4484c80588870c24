import type { Dirent, Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { isObjectKey } from "../object-key.js";
import type { ListPage, ObjectInfo } from "../object-store.js";
import { errnoCode } from "./directory-errors.js";

const PAGE_COUNT_MAX = 1000;
/** Sorts behind every character of a key. */
const BEHIND_ALL = "\x7f";

/** One page of the objects below `root` whose key starts with `prefix` and sorts behind `after`, in key order. */
export async function listDirectoryPage(root: string, prefix: string, after: string): Promise<ListPage> {
  // Whole components of the prefix name a directory to start from.
  const directoryKey = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  const keys: string[] = [];
  let next: string | undefined;
  for await (const key of walk(root, directoryKey, prefix, after)) {
    if (keys.length === PAGE_COUNT_MAX) {
      next = keys.at(-1);
      break;
    }
    keys.push(key);
  }
  const objects = await Promise.all(keys.map((key) => objectInfo(root, key)));
  return { objects: objects.filter((object) => object !== undefined), next };
}

/** @param directoryKey Empty for the root, else ending in a slash. */
async function* walk(root: string, directoryKey: string, prefix: string, after: string): AsyncGenerator<string> {
  for (const { key, isDirectory } of await readEntries(root, directoryKey)) {
    if (isDirectory) {
      const mayMatch = key.startsWith(prefix) || prefix.startsWith(key);
      if (mayMatch && key + BEHIND_ALL > after) yield* walk(root, key, prefix, after);
    } else if (key.startsWith(prefix) && key > after) {
      yield key;
    }
  }
}

interface Entry {
  /** Of a directory: with its slash, so that entries sort as the keys below them do ("a-b" before "a/b"). */
  readonly key: string;
  readonly isDirectory: boolean;
}

async function readEntries(root: string, directoryKey: string): Promise<Entry[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(`${root}/${directoryKey}`, { withFileTypes: true });
  } catch (error) {
    // A prefix below which there is nothing, or a directory deleted meanwhile.
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return [];
    throw error;
  }
  return entries
    .filter((entry) => isObjectKey(directoryKey + entry.name) && (entry.isDirectory() || entry.isFile()))
    .map((entry) => ({
      key: directoryKey + entry.name + (entry.isDirectory() ? "/" : ""),
      isDirectory: entry.isDirectory(),
    }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

async function objectInfo(root: string, key: string): Promise<ObjectInfo | undefined> {
  let stats: Stats;
  try {
    stats = await lstat(`${root}/${key}`);
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ESTALE") return undefined;
    throw error;
  }
  return { key, sizeBytes: stats.size };
}
