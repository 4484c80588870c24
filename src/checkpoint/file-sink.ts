import { lstat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ignore } from "../base/index.js";
import type { Addon, StagedFile, StagingIo, StagingRing } from "../native/index.js";
import { CheckpointError, checkpointError, withErrors } from "./errors.js";
import type { NewFile, SaveTarget, Sink, WithCommit } from "./sink.js";
import { SlotPool } from "./slot-pool.js";
import { checkReplaceable, TemporaryFile } from "./temporary-file.js";

/** Of all files of one process: they take turns among themselves. */
const LANE = 0;

/** Mode "file": this process writes the files itself, through a ring of its own. */
export class FileSink implements Sink {
  readonly mode = "file";
  readonly slots: SlotPool;
  #failure: unknown;

  constructor(
    readonly addon: Pick<Addon, "lockFile">,
    readonly io: StagingIo,
    readonly ring: StagingRing,
    readonly reason: string,
  ) {
    this.slots = new SlotPool(ring.slots);
  }

  get failure(): unknown {
    return this.#failure;
  }

  async begin(file: NewFile): Promise<SaveTarget> {
    await checkReplaceable(join(file.directory, file.fileName), file.replace);
    const temporary = await TemporaryFile.create(this.addon, file.directory, file.fileName);
    let staged: StagedFile | undefined;
    try {
      staged = await this.io.open(temporary.path, "write", LANE);
      await staged.allocate(file.sizeBytes);
    } catch (error) {
      staged?.close();
      await temporary.discard();
      throw error;
    }
    return new FileSave(this.ring, file, temporary, staged);
  }

  abandon(error: unknown): void {
    this.#failure ??= error;
    this.slots.fail(error);
  }

  close(): Promise<void> {
    this.slots.fail(new CheckpointError("closed", "the stager was closed"));
    this.ring.close();
    return Promise.resolve();
  }
}

class FileSave implements SaveTarget {
  #failure: unknown;

  constructor(
    readonly ring: StagingRing,
    readonly file: NewFile,
    readonly temporary: TemporaryFile,
    readonly staged: StagedFile,
  ) {}

  get failure(): unknown {
    return this.#failure;
  }

  async write(slot: number, offset: number, length: number): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await this.staged.write(this.ring, slot, offset, length);
    } catch (error) {
      this.#failure ??= checkpointError(error, join(this.file.directory, this.file.fileName));
    }
  }

  /** Nothing of another process's is ever copied. */
  copied(): Promise<void> {
    return Promise.resolve();
  }

  async commit({ retire = [] }: WithCommit): Promise<void> {
    const { directory, fileName, sizeBytes, replace } = this.file;
    const old = await inodesOf(directory, retire);
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await withErrors(join(directory, fileName), async () => {
        await this.staged.finish(sizeBytes);
        await this.temporary.takeName(fileName, replace);
      });
    } catch (error) {
      await this.cancel();
      throw error;
    }
    this.staged.close();
    for (const name of retire) await removeIf(join(directory, name), old.get(name));
  }

  /** It has been fsynced; whatever this directory is on promises no more. */
  published(): Promise<void> {
    return Promise.resolve();
  }

  async cancel(): Promise<void> {
    this.staged.close();
    await this.temporary.discard();
  }
}

async function inodesOf(directory: string, names: readonly string[]): Promise<Map<string, number | undefined>> {
  const inodes = new Map<string, number | undefined>();
  for (const name of names) inodes.set(name, await inodeAt(join(directory, name)));
  return inodes;
}

/** What has another inode by now has been saved again, and stays; so does what cannot be removed: the older one of two. */
async function removeIf(path: string, inode: number | undefined): Promise<void> {
  if (inode !== undefined && (await inodeAt(path)) === inode) await unlink(path).catch(ignore);
}

async function inodeAt(path: string): Promise<number | undefined> {
  return (await lstat(path).catch(ignore))?.ino;
}
