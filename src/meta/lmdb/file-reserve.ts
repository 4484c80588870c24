import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { MetaError } from "../meta-error.js";

const fdatasyncAsync = promisify(fdatasync);
const STEP = Buffer.alloc(1 << 20);
const RESERVE_BYTES = 12 << 20;

/**
 * Keeps disk blocks allocated ahead of what LMDB uses of its sparse file.
 *
 * LMDB writes pages when it commits: were the disk full then, transactions whose callers have been answered would fail.
 * Here the shortage is found before a transaction begins, as an error of the caller who asked for it.
 */
export class FileReserve {
  readonly #path: string;
  readonly #fd: number;
  // Invariant: blocks of [end of LMDB's last page, #allocatedTo) are on disk.
  #allocatedTo = 0;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "r+");
  }

  /**
   * Only between transactions: it writes zeros over pages that no transaction has used yet.
   * @param usedBytes End of the last page in use.
   * @param limitBytes Size of the mapping: beyond it nothing is touched.
   * @throws MetaError no-space
   */
  ensure(usedBytes: number, limitBytes: number): void {
    const wanted = Math.min(usedBytes + RESERVE_BYTES, limitBytes);
    if (this.#allocatedTo < usedBytes) this.#allocatedTo = usedBytes;
    try {
      while (this.#allocatedTo < wanted) {
        const length = Math.min(STEP.byteLength, wanted - this.#allocatedTo);
        this.#allocatedTo += writeSync(this.#fd, STEP, 0, length, this.#allocatedTo);
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
      throw new MetaError("no-space", `no room left on the disk of ${this.#path}`, { cause: error, retryable: true });
    }
  }

  /** Makes what was committed durable. */
  async sync(): Promise<void> {
    await fdatasyncAsync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
