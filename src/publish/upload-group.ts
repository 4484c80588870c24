import type { Ino } from "../base/index.js";
import type { DirtyFile } from "./dirty-file.js";
import { SMALL_PACK_BYTES } from "./upload-job.js";

/** Files up to this size share packs; each larger one is an upload of its own. */
const SHARED_FILE_BYTES_MAX = 4 << 20;
export const FILES_PER_GROUP = 1024;
/** Looking for what fits the rest of a pack must not become looking at everything. */
const PASSED_OVER_MAX = 64;

export type SizeClass = "small" | "large";

export function sizeClassOf(bytes: number): SizeClass {
  return bytes <= SHARED_FILE_BYTES_MAX ? "small" : "large";
}

/** The files of one upload while they are chosen: as many small ones as fit a pack, or one by itself. */
export class UploadGroup {
  readonly inodes: Ino[] = [];
  #bytes = 0;
  #passedOver = 0;
  #isAlone = false;

  get isFull(): boolean {
    return this.#isAlone || this.inodes.length >= FILES_PER_GROUP || this.#passedOver >= PASSED_OVER_MAX;
  }

  /** Takes the file in, if it fits. One whose last upload failed must not take others down with it again. */
  offer({ ino, bytes, failures }: DirtyFile): boolean {
    const isAlone = failures > 0 || sizeClassOf(bytes) === "large";
    if (this.inodes.length > 0 && (isAlone || this.#bytes + bytes > SMALL_PACK_BYTES)) {
      this.#passedOver++;
      return false;
    }
    this.inodes.push(ino);
    this.#bytes += bytes;
    this.#isAlone = isAlone;
    return true;
  }
}
