import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { TransferError } from "../errors.js";

/**
 * Local files of one job, each opened once. Descriptors are closed by {@link closeAll}. Calls are synchronous: a worker
 * thread has nothing better to do than wait for its disk, and a thread-pool hop costs more than a cached read.
 */
export class LocalFiles {
  readonly #flags: number;
  readonly #descriptors = new Map<string, number>();

  /** "write" creates what is not there; it never truncates: others write other parts of the same file. */
  constructor(access: "read" | "write") {
    this.#flags = access === "read" ? constants.O_RDONLY : constants.O_RDWR | constants.O_CREAT;
  }

  /** Fills `into` from `position` on. Returns how many bytes there were before the end of the file. */
  read(path: string, into: Uint8Array, position: number): number {
    return this.#run(path, "read", (fd) => {
      let done = 0;
      while (done < into.length) {
        const count = readSync(fd, into, done, into.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    });
  }

  write(path: string, bytes: Uint8Array, position: number): void {
    this.#run(path, "write", (fd) => {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(fd, bytes, done, bytes.length - done, position + done);
      }
    });
  }

  closeAll(): void {
    for (const fd of this.#descriptors.values()) closeSync(fd);
    this.#descriptors.clear();
  }

  #run<T>(path: string, what: string, call: (fd: number) => T): T {
    try {
      let fd = this.#descriptors.get(path);
      if (fd === undefined) {
        if (this.#descriptors.size >= DESCRIPTORS_MAX) this.closeAll();
        fd = openSync(path, this.#flags, FILE_MODE);
        this.#descriptors.set(path, fd);
      }
      return call(fd);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // Worth another try: a file that was replaced meanwhile has a successor, and a full disk is being emptied.
      throw new TransferError("local-file", `cannot ${what} ${path}: ${reason}`, { retryable: true, cause: error });
    }
  }
}

const FILE_MODE = 0o600;
/** A job may touch thousands of small files; the limit on open files is everybody's. */
const DESCRIPTORS_MAX = 64;
