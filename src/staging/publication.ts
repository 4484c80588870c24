import { type Ino, ignore, type Name } from "../base/index.js";
import type { Caller } from "../fs/index.js";
import type { Publisher } from "../publish/index.js";
import type { KernelMemory } from "./staged-save.js";
import { inoAt, type NamingFileSystem, type Place } from "./unnamed-file.js";

export interface PublicationTools {
  readonly fileSystem: NamingFileSystem;
  readonly publisher: Pick<Publisher, "syncInode" | "syncAll">;
  readonly kernel: KernelMemory;
  readonly caller: Caller;
  /** Aborts when the mount ends: nothing is removed any more. */
  readonly closing: AbortSignal;
  readonly log: { warn(details: object, message: string): void };
}

/** A committed file, and the names beside it that are to be in the volume before it. */
export interface Committed {
  readonly ino: Ino;
  readonly parent: Ino;
  readonly after: readonly string[];
}

/**
 * A committed file on its way into the volume. It goes there ahead of background work, whether anybody waits or not; and
 * ahead of files of its directory that take longer to upload, unless it is to come after them.
 */
export class Publication {
  readonly #tools: PublicationTools;
  readonly #file: Committed;
  /** Absent after a failure: whoever asks next tries again. The publisher does so by itself. */
  #published: Promise<void> | undefined;

  constructor(tools: PublicationTools, file: Committed) {
    this.#tools = tools;
    this.#file = file;
    this.published().catch(ignore);
  }

  /** Resolves when the file is in the volume. @throws PublishError, TransferError … when that cannot be for now */
  async published(): Promise<void> {
    this.#published ??= this.#publish();
    try {
      await this.#published;
    } catch (error) {
      this.#published = undefined;
      throw error;
    }
  }

  async #publish(): Promise<void> {
    const { publisher, fileSystem } = this.#tools;
    const { ino, parent, after } = this.#file;
    const before = after.map((name) => inoAt(fileSystem, { parent, name: name as Name }));
    await Promise.all(before.filter((each) => each !== undefined).map((each) => publisher.syncInode(each)));
    await publisher.syncInode(ino);
  }
}

/**
 * Removes names once all that is written by now is in the volume, in their order. What has another inode by then has been
 * saved again, and stays. Never throws: a checkpoint too many is no harm.
 */
export async function retire(tools: PublicationTools, parent: Ino, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const { publisher, closing, log } = tools;
  try {
    const known = names.map((name) => ({
      name: name as Name,
      ino: inoAt(tools.fileSystem, { parent, name: name as Name }),
    }));
    await publisher.syncAll();
    if (closing.aborted) return;
    for (const { name, ino } of known) if (ino !== undefined) remove(tools, { parent, name }, ino);
  } catch (error) {
    if (!closing.aborted) log.warn({ err: error, names }, "old checkpoints could not be removed");
  }
}

function remove({ fileSystem, kernel, caller }: PublicationTools, place: Place, ino: Ino): void {
  if (inoAt(fileSystem, place) !== ino) return;
  fileSystem.unlink(caller, place.parent, place.name);
  kernel.invalidateEntry(place.parent, place.name);
  kernel.invalidateInode(place.parent);
  kernel.invalidateInode(ino);
}
