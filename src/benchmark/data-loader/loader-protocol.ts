import type { LoopResult, LoopSpec } from "../../native/index.js";

/** What a loader process is told. */
export type LoaderRequest = { readonly type: "run"; readonly spec: LoopSpec } | { readonly type: "cancel" };

/** What it answers: `ready` once, then `progress` and `done` or `failed` for each run. */
export type LoaderReply =
  | { readonly type: "ready" }
  | { readonly type: "progress"; readonly operations: number }
  | { readonly type: "done"; readonly result: LoopResult }
  | { readonly type: "failed"; readonly message: string; readonly code: string | undefined };
