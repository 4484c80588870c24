import type { ContentId, Ino } from "../base/index.js";
import type { Time } from "../format/index.js";
import type { ContentFile } from "../native/index.js";
import type { OpenContent } from "./content-cache.js";
import { type Counted, type ImageState, NOTHING_COUNTED } from "./local-images.js";
import type { Pager } from "./pager.js";

const DISK_BLOCK_BYTES = 512;
/** Filled and read at once, on one thread. */
const status = new Float64Array(6);

/** A content file with its descriptor open, whether somebody has the inode open or not. */
export interface OpenFile {
  readonly contentId: ContentId;
  readonly file: ContentFile;
  /** There exactly when the file has a block map. */
  readonly pager: Pager | undefined;
}

/** {@link OpenContent} as the cache sees it. It lives from the first handle to the last. */
export class OpenImage implements OpenContent, OpenFile {
  readonly ino: Ino;
  readonly contentId: ContentId;
  readonly file: ContentFile;
  readonly pager: Pager | undefined;
  readonly mode: "passthrough" | "served";
  readers = 0;
  writers = 0;
  /** It counts as at least this large: room for what is going to be written. 0 without writers. */
  heldBytes = 0;
  /** What the ledger has for it. */
  counted: Counted = NOTHING_COUNTED;
  /** The inode was removed, or its content replaced: nothing is recorded for it any more. */
  removed = false;
  /**
   * As it was before the writers came, when it was clean then: if it is like that when they have gone, nothing was
   * written. Undefined when that cannot be told any more.
   */
  untouched: { readonly sizeBytes: number; readonly mtime: Time } | undefined;

  constructor(ino: Ino, open: OpenFile, mode: "passthrough" | "served") {
    this.ino = ino;
    this.contentId = open.contentId;
    this.file = open.file;
    this.pager = open.pager;
    this.mode = mode;
  }

  stat(): ImageState {
    return statFile(this.file);
  }
}

export function statFile(file: ContentFile): ImageState {
  file.stat(status);
  return {
    sizeBytes: status[0] ?? 0,
    diskBytes: (status[1] ?? 0) * DISK_BLOCK_BYTES,
    mtime: { sec: status[2] ?? 0, nsec: status[3] ?? 0 },
  };
}
