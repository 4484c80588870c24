import { ignore } from "../base/index.js";
import type { IpcSave } from "./ipc/index.js";
import type { IpcPiece } from "./protocol.js";

/**
 * What one save copies out of the client's device memory, and when the client may have that back.
 *
 * Invariant: #copied ≤ #sent; {@link onCopied} hears of counts in ascending order, each after the handles of those copies
 * have been closed: to free memory that another process still has open is undefined (cuIpcOpenMemHandle).
 */
export class DeviceFills {
  readonly #save: IpcSave;
  readonly #onCopied: (fills: number) => void;
  #sent = 0;
  #copied = 0;
  #telling = Promise.resolve();

  constructor(save: IpcSave, onCopied: (fills: number) => void) {
    this.#save = save;
    this.#onCopied = onCopied;
  }

  /** Resolves when the pieces are in the slot. @throws StagingError protocol, device; the save has failed then */
  async fill(slot: number, pieces: readonly IpcPiece[]): Promise<void> {
    this.#sent += 1;
    await this.#save.copy(slot, pieces);
    this.#copied += 1;
    if (this.#copied === this.#sent) this.#tell(this.#sent);
  }

  /** Closes what is open, when nothing is copied any more. */
  async end(): Promise<void> {
    await this.#save.end();
  }

  #tell(fills: number): void {
    this.#telling = this.#telling
      .then(() => this.#save.end())
      .then(() => this.#onCopied(fills))
      // The child has died: then the handles are closed as well, and the next fill fails.
      .catch(ignore);
  }
}
