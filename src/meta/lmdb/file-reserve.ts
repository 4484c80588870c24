import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { MetaError } from "../meta-error.js";

const fdatasyncAsync = promisify(fdatasync);
const STEP = Buffer.alloc(1 << 20);
const RESERVE_BYTES = 16 << 20;
const STEPS_MAX = 4;

/**
 * Keeps disk blocks allocated ahead of what LMDB uses of its file.
 *
 * LMDB writes through a shared mapping of a sparse file. Were the disk full, touching a page without a block would
 * kill the process with SIGBUS; here the shortage is found by write(2) before a transaction begins, as an error.
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
      for (let step = 0; step < STEPS_MAX && this.#allocatedTo < wanted; step++) {
        const length = Math.min(STEP.byteLength, wanted - this.#allocatedTo);
        this.#allocatedTo += writeSync(this.#fd, STEP, 0, length, this.#allocatedTo);
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
      throw new MetaError("no-space", `no room left on the disk of ${this.#path}`, { cause: error, retryable: true });
    }
  }

  /** Makes what was committed durable: on Linux, fdatasync writes pages that were changed through a mapping too. */
  async sync(): Promise<void> {
    await fdatasyncAsync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
