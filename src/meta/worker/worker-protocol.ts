import type { MessagePort } from "node:worker_threads";
import { type BackendConfig, BackendError, type BackendErrorKind } from "../../backend/index.js";
import type { CheckpointInput } from "../checkpoint/build-checkpoint.js";
import type { SegmentInput } from "../log/encode-segment.js";
import { MetaError, type MetaErrorKind } from "../meta-error.js";
import type { LoadInput } from "./meta-tasks.js";

/** What the main thread asks of a metadata worker: plain data. */
export type MetaTask =
  | { readonly kind: "encode-segment"; readonly input: SegmentInput }
  | { readonly kind: "build-checkpoint"; readonly input: CheckpointInput }
  /** Progress comes through the port. */
  | { readonly kind: "load"; readonly input: LoadInput; readonly progress: MessagePort };

/** Given to each worker at its start. */
export interface MetaWorkerData {
  readonly backend: BackendConfig;
}

export type MetaTaskReply =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly failure: TaskFailure };

/** An error in a form that survives the way between threads, where classes are lost. */
export type TaskFailure =
  | { readonly layer: "meta"; readonly kind: MetaErrorKind; readonly message: string }
  | {
      readonly layer: "backend";
      readonly kind: BackendErrorKind;
      readonly message: string;
      readonly retryable: boolean;
    }
  | { readonly layer: "other"; readonly message: string };

export function failureOf(error: unknown): TaskFailure {
  if (error instanceof MetaError) return { layer: "meta", kind: error.kind, message: error.message };
  if (error instanceof BackendError) {
    return { layer: "backend", kind: error.kind, message: error.message, retryable: error.retryable };
  }
  return { layer: "other", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

export function errorOf(failure: TaskFailure): Error {
  switch (failure.layer) {
    case "meta":
      return new MetaError(failure.kind, failure.message);
    case "backend":
      return new BackendError(failure.kind, failure.message, { retryable: failure.retryable });
    case "other":
      return new Error(`metadata worker: ${failure.message}`);
  }
}
