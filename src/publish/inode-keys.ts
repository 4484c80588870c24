import type { Ino } from "../base/index.js";
import { contentKey, inodeKey } from "../format/index.js";

const keys = new Map<Ino, string>();
const KEYS_MAX = 65_536;

/** The key of an inode's record as operations carry it: one char per byte. */
export function keyOfInode(ino: Ino): string {
  let key = keys.get(ino);
  if (key === undefined) {
    if (keys.size >= KEYS_MAX) keys.clear();
    key = Buffer.from(inodeKey(ino)).toString("latin1");
    keys.set(ino, key);
  }
  return key;
}

/** The key of a regular file's content record, in the same form. */
export function keyOfContent(ino: Ino): string {
  return Buffer.from(contentKey(ino)).toString("latin1");
}
