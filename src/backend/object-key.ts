import { randomBytes } from "node:crypto";
import { assert } from "../base/index.js";

const COMPONENT = /^[a-z0-9_-][a-z0-9._-]*$/;
const PREFIX = /^(?:[a-z0-9_-][a-z0-9._-]*\/)*(?:[a-z0-9_-][a-z0-9._-]*)?$/;
/** What every filesystem has room for in one name. */
const COMPONENT_LENGTH_MAX = 255;
/** S3 allows 1024 bytes, of which the volume's own prefix needs some. */
const KEY_LENGTH_MAX = 512;

/**
 * True for what may be the key of an object: lowercase, so that it survives filesystems that fold case; no component
 * starting with a dot, so that no key can leave its directory, and temporary names cannot be keys.
 */
export function isObjectKey(key: string): boolean {
  if (key.length > KEY_LENGTH_MAX) return false;
  return key.split("/").every((part) => part.length <= COMPONENT_LENGTH_MAX && COMPONENT.test(part));
}

/** @throws InvariantError: keys are made by podfs, never taken from outside. */
export function assertObjectKey(key: string): void {
  assert(isObjectKey(key), `${JSON.stringify(key.slice(0, KEY_LENGTH_MAX))} is not an object key`);
}

/** A prefix is the beginning of a key, and may end anywhere in it. */
export function assertKeyPrefix(prefix: string): void {
  assert(
    prefix.length <= KEY_LENGTH_MAX && PREFIX.test(prefix),
    `${JSON.stringify(prefix.slice(0, KEY_LENGTH_MAX))} is not the beginning of an object key`,
  );
}

/** A new key for something that is put to find out what a backend does, and deleted again. */
export function probeKey(): string {
  return `probe/${randomBytes(16).toString("hex")}`;
}
