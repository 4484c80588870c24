import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { syncPath } from "../../base/index.js";

/**
 * A file of frames, which are on disk when {@link append} resolves.
 *
 * Invariant: what is on disk for sure is the file up to #sizeBytes; what comes behind is written over.
 */
export class JournalFile {
  readonly #handle: FileHandle;
  #sizeBytes = 0;
  /** Whose entry for this file a power loss may yet take back. */
  #folderToSync: string | undefined;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /**
   * Fills a new file and puts it in the place of the one at `path`, which stays as it is when that fails. A power loss
   * leaves one of the two there; the new one for sure after the next append, or {@link sync}.
   */
  static async replace(path: string, frames: Iterable<Buffer>): Promise<JournalFile> {
    const temporaryPath = `${path}.new`;
    const file = new JournalFile(await open(temporaryPath, "w", 0o600));
    try {
      await file.append(frames);
      await rename(temporaryPath, path);
    } catch (error) {
      await file.close();
      await rm(temporaryPath, { force: true });
      throw error;
    }
    file.#folderToSync = dirname(path);
    return file;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Not to be called again before it is settled. When it fails, nobody knows what of `frames` is on disk: append them again. */
  async append(frames: Iterable<Buffer>): Promise<void> {
    let end = this.#sizeBytes;
    for (const frame of frames) {
      await this.#write(frame, end);
      end += frame.length;
    }
    await this.sync();
    this.#sizeBytes = end;
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
    if (this.#folderToSync === undefined) return;
    await syncPath(this.#folderToSync);
    this.#folderToSync = undefined;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #write(frame: Buffer, position: number): Promise<void> {
    for (let offset = 0; offset < frame.length; ) {
      const { bytesWritten } = await this.#handle.write(frame, offset, frame.length - offset, position + offset);
      offset += bytesWritten;
    }
  }
}
