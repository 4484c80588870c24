/** `ok`: as it should be. `warn`: podfs works, but slower or with less. `fail`: podfs cannot mount here as it is. */
export type Verdict = "ok" | "warn" | "fail";

/** One row of the doctor's report: what was looked at, what was found, what follows, and what to do. */
export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What it means for podfs; a whole sentence. */
  readonly follows: string;
  /** What to do about it; absent when there is nothing to do. */
  readonly fix?: string;
}

/** Looks at one thing and changes nothing. Never throws: what cannot be found out is a finding too. */
export type Check = () => Promise<Finding>;

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
