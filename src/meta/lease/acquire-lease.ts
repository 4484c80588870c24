import type { Epoch } from "../../base/index.js";
import { formatDuration } from "../../base/index.js";
import type { Lease } from "../../format/index.js";
import { MetaError } from "../meta-error.js";
import { readLease, replaceLease, type StoredLease } from "./lease-object.js";
import { LEASE_TTL_MS, type LeaseOptions } from "./lease-options.js";

/** Clocks of two machines may differ by this much before a live holder is taken for a dead one (and fenced off). */
const CLOCK_SKEW_MS = 5_000;
/** Without conditional writes: at least this long, and this many round trips, between writing and reading again. */
const SETTLE_MS_MIN = 250;
const SETTLE_ROUND_TRIPS = 5;
const ATTEMPTS_MAX = 3;

/**
 * Takes the writer's lease: the next epoch. A lease that was given back, has expired, is this cache directory's own,
 * or that `takeOver` asks for, is taken at once; the former holder finds out before its next segment counts.
 *
 * @throws MetaError lease-held: one line that names the holder. @throws BackendError
 */
export async function acquireLease(options: LeaseOptions, takeOver: boolean): Promise<StoredLease> {
  const { store, clock } = options;
  for (let attempt = 1; ; attempt++) {
    const startMs = clock.monotonicMs();
    const before = await readLease(store);
    const roundTripMs = clock.monotonicMs() - startMs;
    if (before !== undefined && !takeOver) expectFree(before.lease, options);
    const taken = await replaceLease(store, before, nextLease(before?.lease, options));
    if (taken !== undefined) {
      const exact = before === undefined ? store.capabilities.conditionalCreate : store.capabilities.conditionalReplace;
      if (exact) return taken;
      // Two writers that both looked before either wrote: the later one stays, and the earlier one sees it here.
      await clock.sleep(Math.max(SETTLE_MS_MIN, roundTripMs * SETTLE_ROUND_TRIPS));
      const settled = await readLease(store);
      if (settled !== undefined && isSameLease(settled.lease, taken.lease)) return settled;
    }
    // The winner of the race holds it now: the next look says who that is.
    if (attempt === ATTEMPTS_MAX)
      throw new MetaError("lease-held", `${store.url}: others are taking the lease just now`);
  }
}

/** Same holder, same epoch: renewals do not matter. */
export function isSameLease(a: Lease, b: Lease): boolean {
  return a.epoch === b.epoch && a.holder.id === b.holder.id;
}

/** One line for people: who holds it, since when it was silent, and what to do. */
export function describeHolder(lease: Lease, nowMs: number): string {
  const { host, pid, mountpoint } = lease.holder;
  const age = formatDuration(Math.max(0, nowMs - lease.renewedAtMs));
  const left = lease.expiresAtMs + CLOCK_SKEW_MS - nowMs;
  const expiry = left > 0 ? `expires in ${formatDuration(left)} unless renewed` : "has expired";
  return `${mountpoint} on ${host} (pid ${pid}), renewed ${age} ago, ${expiry}`;
}

function expectFree(lease: Lease, { store, clock, holder }: LeaseOptions): void {
  const nowMs = clock.nowMs();
  if (lease.released || lease.holder.id === holder.id || nowMs > lease.expiresAtMs + CLOCK_SKEW_MS) return;
  throw new MetaError(
    "lease-held",
    `${store.url} is being written by ${describeHolder(lease, nowMs)}; unmount it there, wait, or use --take-over`,
  );
}

function nextLease(before: Lease | undefined, { clock, holder, ttlMs = LEASE_TTL_MS }: LeaseOptions): Lease {
  const nowMs = Math.floor(clock.nowMs());
  return {
    epoch: ((before?.epoch ?? 0) + 1) as Epoch,
    holder,
    renewedAtMs: nowMs,
    expiresAtMs: nowMs + ttlMs,
    released: false,
    beginsAt: before?.beginsAt ?? [],
    checkpointSeq: before?.checkpointSeq,
  };
}
