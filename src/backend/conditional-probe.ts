import { ignore } from "../base/index.js";
import { isBackendError } from "./backend-error.js";
import { probeKey } from "./object-key.js";
import type { BackendCapabilities } from "./object-store.js";

export type ConditionCapabilities = Pick<BackendCapabilities, "conditionalCreate" | "conditionalReplace">;

const RACER_COUNT = 4;

/** Puts and deletes that send the condition to the server and check nothing themselves. */
export interface ProbeTarget {
  put(key: string, body: Uint8Array, condition: { ifAbsent?: boolean; ifMatch?: string }): Promise<string>;
  delete(key: string): Promise<void>;
}

/**
 * Finds out which conditions a server honours, by trying them: one that does not know a header ignores it, and some
 * check it without holding a lock, so that racing writers all succeed.
 */
export async function probeConditions(target: ProbeTarget): Promise<ConditionCapabilities> {
  const key = probeKey();
  try {
    const created = await race((body) => target.put(key, body, { ifAbsent: true }));
    const version = await target.put(key, bodyOf(RACER_COUNT), {});
    const second = await attempt(() => target.put(key, bodyOf(0), { ifAbsent: true }));
    // A server that has let the second one pass has changed the version; so the order of these matters.
    const wrong = await attempt(() => target.put(key, bodyOf(0), { ifMatch: '"00000000000000000000000000000000"' }));
    const conditionalCreate = created <= 1 && second === "refused";
    if (wrong !== "refused") return { conditionalCreate, conditionalReplace: false };
    const current = second === "refused" ? version : await target.put(key, bodyOf(RACER_COUNT + 1), {});
    const replaced = await race((body) => target.put(key, body, { ifMatch: current }));
    return { conditionalCreate, conditionalReplace: replaced === 1 };
  } finally {
    await target.delete(key).catch(ignore);
  }
}

/** @returns how many of several puts at once succeeded. */
async function race(put: (body: Uint8Array) => Promise<string>): Promise<number> {
  const outcomes = await Promise.allSettled(Array.from({ length: RACER_COUNT }, (_, index) => put(bodyOf(index))));
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") continue;
    // "unavailable": S3 answers 409 ConditionalRequestConflict to one of two that meet.
    if (isBackendError(outcome.reason, "precondition-failed", "bad-response", "unavailable")) continue;
    throw outcome.reason;
  }
  return outcomes.filter((outcome) => outcome.status === "fulfilled").length;
}

/** @throws BackendError when it failed for another reason than the condition. */
async function attempt(put: () => Promise<string>): Promise<"accepted" | "refused" | "not-understood"> {
  try {
    await put();
    return "accepted";
  } catch (error) {
    if (isBackendError(error, "precondition-failed")) return "refused";
    if (isBackendError(error, "bad-response")) return "not-understood";
    throw error;
  }
}

/** Bodies differ, because equal ones have equal version tags. */
function bodyOf(index: number): Uint8Array {
  return Uint8Array.of(index);
}
