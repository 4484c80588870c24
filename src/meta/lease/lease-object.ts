import { isBackendError, type ObjectStore } from "../../backend/index.js";
import { decodeLease, encodeLease, FormatError, LEASE_OBJECT_KEY, type Lease } from "../../format/index.js";
import { MetaError } from "../meta-error.js";

/** A lease as it was found, with the version tag that a conditional put needs. */
export interface StoredLease {
  readonly lease: Lease;
  readonly version: string;
}

/** @throws MetaError corrupt. @throws BackendError */
export async function readLease(store: ObjectStore, signal?: AbortSignal): Promise<StoredLease | undefined> {
  try {
    const { body, version } = await store.get(LEASE_OBJECT_KEY, { signal });
    return { lease: decodeLease(body), version };
  } catch (error) {
    if (isBackendError(error, "not-found")) return undefined;
    if (!(error instanceof FormatError)) throw error;
    throw new MetaError("corrupt", `${store.url}: ${LEASE_OBJECT_KEY}: ${error.message}`, { cause: error });
  }
}

/**
 * Replaces the lease that was found (`before`; undefined: none was), if it is still that one.
 *
 * @returns undefined when somebody else was faster. Exact where the backend honours conditions; where it does not,
 *   it looks right before it puts.
 */
export async function replaceLease(
  store: ObjectStore,
  before: StoredLease | undefined,
  lease: Lease,
): Promise<StoredLease | undefined> {
  const condition = before === undefined ? { ifAbsent: true } : { ifMatch: before.version };
  try {
    return { lease, version: await store.put(LEASE_OBJECT_KEY, encodeLease(lease), condition) };
  } catch (error) {
    if (isBackendError(error, "precondition-failed")) return undefined;
    throw error;
  }
}
