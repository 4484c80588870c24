import type { Ino } from "../base/index.js";
import { contentKey, inodeKey } from "../format/index.js";

const ANY_INO = 1 as Ino;
const INODE_TAG = inodeKey(ANY_INO)[0];
const CONTENT_TAG = contentKey(ANY_INO)[0];

/** Whether a key is of an inode record, without taking it apart: for passes over millions of keys. */
export function isInodeKey(key: Uint8Array): boolean {
  return key[0] === INODE_TAG;
}

/** Whether a key is of a content record. */
export function isContentKey(key: Uint8Array): boolean {
  return key[0] === CONTENT_TAG;
}
