import type { BenchmarkResult } from "../result.js";

/** Something podfs needs of a backend, and whether this one has it. */
export interface BackendCheck {
  /** Stable, for scripts: "compare-and-swap". */
  readonly id: string;
  readonly title: string;
  /** "weak": it works when nobody else writes at the same moment. */
  readonly outcome: "ok" | "weak" | "failed";
  /** What podfs needs it for. */
  readonly need: string;
  /** What happens without it. */
  readonly without: string;
  /** What was seen, when it was not as it should be; else what it was tried with. */
  readonly detail: string;
}

/** What `podfs bench --backend` found. */
export interface BackendResult extends BenchmarkResult {
  readonly checks: readonly BackendCheck[];
}
