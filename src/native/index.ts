import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { UserError } from "../base/errors.js";
import type { Addon } from "./addon.js";

export type {
  Addon,
  ContentFile,
  ContentFileEvents,
  ContentFileOptions,
  FuseSession,
  FuseSessionEvents,
  FuseSessionOptions,
  LoopLatencies,
  LoopName,
  LoopResult,
  LoopSpec,
  MeasuringLoop,
  NegotiatedSession,
} from "./addon.js";
export { ATTRIBUTE_SLOT_BYTES, REPLY_LATER, REPLY_NONE } from "./addon.js";
export type {
  CudaDevice,
  CudaDriver,
  DeviceCopier,
  DevicePiece,
  IpcMemory,
  RingOptions,
  StagedFile,
  StagingAddon,
  StagingIo,
  StagingRing,
} from "./staging.js";

/** Two folders above this file, whether it runs from dist/native/ or from src/native/. */
const ADDON_PATH = fileURLToPath(new URL("../../build/Release/podfs.node", import.meta.url));

/** To be preloaded (LD_PRELOAD): condition variables that do not wait (native/preload/condition_variables.cc). */
export const CONDITION_VARIABLES_PATH = fileURLToPath(
  new URL("../../build/Release/podfs_condition_variables.so", import.meta.url),
);

let loaded: Addon | undefined;

/**
 * The native addon, loaded at the first call.
 * @throws UserError where it is not built, or built for another Node or machine: says what to run.
 */
export function loadAddon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  try {
    return createRequire(import.meta.url)(ADDON_PATH) as Addon;
  } catch (cause) {
    const detail = cause instanceof Error ? (cause.message.split("\n", 1)[0] ?? "") : String(cause);
    const missing = cause instanceof Error && "code" in cause && cause.code === "MODULE_NOT_FOUND";
    throw new UserError(
      missing
        ? `the native addon is not built (${ADDON_PATH}): run ./podfs setup`
        : `the native addon does not load (${detail}): run ./podfs setup to build it for this machine`,
      cause,
    );
  }
}
