import type { ObjectStore } from "../../backend/index.js";
import type { Clock } from "../../base/index.js";
import type { LeaseHolder } from "../../format/index.js";

export interface LeaseOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  /** `id` is the cache directory's own: whoever has it goes on with its own lease at once. */
  readonly holder: LeaseHolder;
  /** How long the lease lasts without renewal. Default 30 s; it is renewed three times as often. */
  readonly ttlMs?: number;
}

export const LEASE_TTL_MS = 30_000;
