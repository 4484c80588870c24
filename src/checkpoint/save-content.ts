import { randomBytes } from "node:crypto";
import { FormatError, planSafetensors } from "../format/index.js";
import { CheckpointError } from "./errors.js";
import type { FileContent } from "./fill.js";
import { SAVE_KEYS } from "./names.js";
import { checkMetadata, type Tensor, tensorSet } from "./tensors.js";

const SAVE_ID_BYTES = 16;

/**
 * The file of a save of one process: tied tensors stored once, and in its metadata, beside the user's, which save it is.
 * @throws CheckpointError invalid-tensor
 */
export function planSave(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>>,
  nowMs: number,
): FileContent {
  try {
    const { stored, aliases } = tensorSet(tensors);
    const all = new Map<string, string>([
      ...checkMetadata(metadata),
      [SAVE_KEYS.save, randomBytes(SAVE_ID_BYTES).toString("hex")],
      [SAVE_KEYS.time, String(nowMs)],
      [SAVE_KEYS.rank, "0"],
      [SAVE_KEYS.ranks, "1"],
      ...aliases,
    ]);
    return { layout: planSafetensors(stored, all), tensors: stored };
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CheckpointError("invalid-tensor", cause.message, { cause });
  }
}
