import { ignore } from "../../base/index.js";
import type { DeviceCopier, IpcMemory } from "../../native/index.js";
import { Copies } from "./copies.js";

/**
 * Device memory of a client that one save has open: each allocation once, until the save ends. Its owner must not free it
 * before: NVIDIA leaves undefined what would happen then.
 */
export class OpenedMemory {
  readonly #opened = new Map<DeviceCopier, Map<string, Promise<IpcMemory>>>();
  readonly #copies = new Copies();

  /**
   * @param handle of an allocation, 128 hexadecimal digits.
   * @returns where the allocation is in this process, and how large.
   */
  open(copier: DeviceCopier, handle: string): Promise<IpcMemory> {
    const ofCopier = this.#opened.get(copier) ?? new Map<string, Promise<IpcMemory>>();
    this.#opened.set(copier, ofCopier);
    const memory = ofCopier.get(handle) ?? copier.openIpc(Buffer.from(handle, "hex"));
    ofCopier.set(handle, memory);
    return memory;
  }

  /** Keeps the memory open until the copy has ended. */
  use(copy: Promise<void>): Promise<void> {
    return this.#copies.run(copy);
  }

  /** Waits for the copies. What has been closed can be opened again. */
  async close(): Promise<void> {
    await this.#copies.ended();
    const opened = [...this.#opened];
    this.#opened.clear();
    const closed = opened.flatMap(([copier, handles]) =>
      // What could not be opened has been reported by the copy that wanted it.
      [...handles.values()].map((memory) => memory.then(({ address }) => copier.closeIpc(address), ignore)),
    );
    await Promise.all(closed);
  }
}
