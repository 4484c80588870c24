import { randomUUID } from "node:crypto";
import { isBackendError, type ObjectStore } from "../../backend/index.js";
import type { Clock } from "../../base/index.js";
import {
  DESCRIPTOR_OBJECT_KEY,
  type Descriptor,
  decodeDescriptor,
  encodeDescriptor,
  FormatError,
  newDescriptor,
} from "../../format/index.js";
import { MetaError } from "../meta-error.js";

/**
 * Reads what a volume is. @throws MetaError not-a-volume, too-new. @throws BackendError
 */
export async function openDescriptor(store: ObjectStore): Promise<Descriptor> {
  const descriptor = await findDescriptor(store);
  if (descriptor !== undefined) return descriptor;
  throw new MetaError("not-a-volume", `there is no volume at ${store.url}; --create makes one`);
}

/** The same, undefined when there is no descriptor. */
export async function findDescriptor(store: ObjectStore): Promise<Descriptor | undefined> {
  try {
    const { body } = await store.get(DESCRIPTOR_OBJECT_KEY);
    return decodeDescriptor(body);
  } catch (error) {
    if (isBackendError(error, "not-found")) return undefined;
    if (!(error instanceof FormatError)) throw error;
    const kind = error.kind === "too-new" ? "too-new" : "not-a-volume";
    throw new MetaError(kind, `${store.url}: ${DESCRIPTOR_OBJECT_KEY}: ${error.message}`, { cause: error });
  }
}

/**
 * Makes an empty volume: one object, the descriptor. Its root directory is the first writer's first operation.
 *
 * @throws MetaError already-a-volume. @throws BackendError
 */
export async function createVolume(store: ObjectStore, clock: Clock): Promise<Descriptor> {
  const descriptor = newDescriptor({ uuid: randomUUID(), createdAt: new Date(clock.nowMs()) });
  try {
    await store.put(DESCRIPTOR_OBJECT_KEY, encodeDescriptor(descriptor), { ifAbsent: true });
  } catch (error) {
    if (!isBackendError(error, "precondition-failed")) throw error;
    throw new MetaError("already-a-volume", `there is a volume at ${store.url} already`, { cause: error });
  }
  return descriptor;
}
