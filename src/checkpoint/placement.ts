import { createHash, randomBytes } from "node:crypto";
import { UserError } from "../base/index.js";

/** Which of the processes that save together this is. */
export interface Placement {
  /** From 0. */
  readonly rank: number;
  readonly ranks: number;
}

const SAVE_ID = /^[0-9a-f]{32}$/;
const SAVE_ID_BYTES = 16;

/** @throws UserError the two make no sense. */
export function placementOf(rank?: number, ranks?: number): Placement {
  if (rank === undefined && ranks === undefined) return { rank: 0, ranks: 1 };
  if (rank === undefined || ranks === undefined)
    throw new UserError("rank and ranks go together: give both or neither");
  if (!Number.isSafeInteger(ranks) || !Number.isSafeInteger(rank) || rank < 0 || rank >= ranks) {
    throw new UserError(`rank ${rank} of ${ranks}: ranks are counted from 0`);
  }
  return { rank, ranks };
}

/**
 * What the files of one save have in common, and those of no other: 32 hexadecimal digits.
 * @param given any text; several ranks cannot agree without.
 * @throws UserError several ranks, and none given.
 */
export function saveIdOf(given: string | undefined, { ranks }: Placement): string {
  if (ranks === 1) return randomBytes(SAVE_ID_BYTES).toString("hex");
  if (typeof given !== "string" || given === "") {
    throw new UserError(
      "saveId is needed with several ranks: a text that is the same on all of them, and a new one for each save, such as " +
        'the job\'s name, its attempt and the step ("job-2-1000")',
    );
  }
  if (SAVE_ID.test(given)) return given;
  return createHash("sha256")
    .update(given)
    .digest("hex")
    .slice(0, 2 * SAVE_ID_BYTES);
}
