import { FormatError, planSafetensors } from "../format/index.js";
import { CheckpointError } from "./errors.js";
import type { FileContent } from "./fill.js";
import { SAVE_KEYS } from "./names.js";
import type { Placement } from "./placement.js";
import { checkMetadata, type Tensor, tensorSet } from "./tensors.js";

/** Which save a file belongs to, and whose it is. */
export interface Stamp extends Placement {
  readonly saveId: string;
  readonly nowMs: number;
}

/**
 * The file of one process: tied tensors stored once, and in its metadata, beside the user's, which save it is.
 * @throws CheckpointError invalid-tensor
 */
export function planSave(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>>,
  { saveId, nowMs, rank, ranks }: Stamp,
): FileContent {
  try {
    const { stored, aliases } = tensorSet(tensors);
    const all = new Map<string, string>([
      ...checkMetadata(metadata),
      [SAVE_KEYS.save, saveId],
      [SAVE_KEYS.time, String(nowMs)],
      [SAVE_KEYS.rank, String(rank)],
      [SAVE_KEYS.ranks, String(ranks)],
      ...aliases,
    ]);
    return { layout: planSafetensors(stored, all), tensors: stored };
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CheckpointError("invalid-tensor", cause.message, { cause });
  }
}

/** A file that is these bytes. */
export function bytesContent(bytes: Uint8Array): FileContent {
  const { length } = bytes;
  return {
    layout: { header: bytes, dataOffset: length, sizeBytes: length, tensors: [], metadata: new Map() },
    tensors: new Map(),
  };
}
