import type { HandleId, Ino, OpSeq } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import { FsError } from "./errors.js";
import { NameTrail } from "./name-trail.js";

/** One open(2) of a regular file. */
export interface FileHandle {
  readonly id: HandleId;
  readonly ino: Ino;
  readonly content: OpenContent;
  /** Counts as a writer of the content. */
  readonly write: boolean;
}

/** One opendir(3). */
export interface DirectoryHandle {
  readonly id: HandleId;
  readonly ino: Ino;
  readonly trail: NameTrail;
  /** State of the directory in which the trail was begun: the last operation that touched it. */
  listedSeq: OpSeq | undefined;
}

/**
 * What is open. Invariant: #open counts the handles of each inode, files and directories, and holds no zeros.
 */
export class HandleTable {
  readonly #files = new Map<HandleId, FileHandle>();
  readonly #directories = new Map<HandleId, DirectoryHandle>();
  readonly #open = new Map<Ino, number>();
  #last = 0;

  openFile(ino: Ino, content: OpenContent, write: boolean): FileHandle {
    const handle = { id: this.#next(ino), ino, content, write };
    this.#files.set(handle.id, handle);
    return handle;
  }

  openDirectory(ino: Ino): DirectoryHandle {
    const handle = { id: this.#next(ino), ino, trail: new NameTrail(), listedSeq: undefined };
    this.#directories.set(handle.id, handle);
    return handle;
  }

  /** @throws FsError bad-handle */
  file(id: HandleId): FileHandle {
    const handle = this.#files.get(id);
    if (handle === undefined) throw new FsError("bad-handle", `${id} is not an open file`);
    return handle;
  }

  /** @throws FsError bad-handle */
  writableFile(id: HandleId): FileHandle {
    const handle = this.file(id);
    if (!handle.write) throw new FsError("bad-handle", `handle ${id} is not open for writing`);
    return handle;
  }

  /** @throws FsError bad-handle */
  directory(id: HandleId): DirectoryHandle {
    const handle = this.#directories.get(id);
    if (handle === undefined) throw new FsError("bad-handle", `${id} is not an open directory`);
    return handle;
  }

  release(handle: FileHandle | DirectoryHandle): void {
    this.#files.delete(handle.id);
    this.#directories.delete(handle.id);
    const others = (this.#open.get(handle.ino) ?? 0) - 1;
    if (others > 0) this.#open.set(handle.ino, others);
    else this.#open.delete(handle.ino);
  }

  isOpen(ino: Ino): boolean {
    return this.#open.has(ino);
  }

  #next(ino: Ino): HandleId {
    this.#open.set(ino, (this.#open.get(ino) ?? 0) + 1);
    this.#last += 1;
    return this.#last as HandleId;
  }
}
