import { assert, ignore, systemClock } from "../../base/index.js";
import { StagingError } from "../errors.js";
import type { IpcPiece } from "../protocol.js";
import { IpcProcess } from "./ipc-process.js";
import type { RingReference } from "./messages.js";

/** A child that has not let go of a ring by then is stuck in its driver, and is killed. */
const RELEASE_TIMEOUT_MS = 30_000;

/**
 * Copies device memory of training processes (CUDA IPC) into their rings, in a child process: its context and its crashes
 * are not the mount's. There is a child while there are clients. One that dies fails what it was doing; the next request
 * starts another.
 */
export interface IpcCopiers {
  /** Of the child; undefined while there is none. */
  readonly pid: number | undefined;
  /**
   * @param ring its descriptor stays open until {@link IpcClient.detach} has resolved.
   * @throws StagingError "device": why device memory cannot be copied here, in one line.
   */
  attach(ring: RingReference): Promise<IpcClient>;
  /** Ends the child, whatever it is doing. */
  close(): Promise<void>;
}

/** Whose ring the bytes go to. */
export interface IpcClient {
  beginSave(): IpcSave;
  /** Resolves when nothing is copied into the ring any more. Idempotent. */
  detach(): Promise<void>;
}

/** Keeps the device memory that is copied open in the child. */
export interface IpcSave {
  /**
   * Resolves when the bytes are in the slot.
   * @param pieces of any devices, within the slot.
   * @throws StagingError "protocol": the pieces do not fit; "device": the driver failed, or the child died. Nothing is copied
   * into the slot any more then.
   */
  copy(slot: number, pieces: readonly IpcPiece[]): Promise<void>;
  /**
   * Resolves when its copies have ended and the memory is closed: from then on its owner may free it. A later copy opens it
   * again. Never throws: a child that is gone has closed everything.
   */
  end(): Promise<void>;
}

/** @param note gets a line for the log when something goes wrong that is nobody's error. */
export function createIpcCopiers(note: (message: string) => void): IpcCopiers {
  return new ChildCopiers(note);
}

class ChildCopiers implements IpcCopiers {
  readonly #note: (message: string) => void;
  // Invariant: without clients there is no usable process.
  readonly #clients = new Set<ChildClient>();
  #process: IpcProcess | undefined;
  #nextNumber = 1;

  constructor(note: (message: string) => void) {
    this.#note = note;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async attach({ fd, slots, slotBytes }: RingReference): Promise<IpcClient> {
    const client = new ChildClient(this, { fd, slots, slotBytes }, this.nextNumber());
    this.#clients.add(client);
    try {
      await client.open();
      return client;
    } catch (error) {
      await this.detached(client);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#clients.clear();
    await this.#process?.end();
  }

  nextNumber(): number {
    return this.#nextNumber++;
  }

  /** The child that lives, or a new one. */
  process(client: ChildClient): IpcProcess {
    if (!this.#clients.has(client)) throw new StagingError("closing", "device memory is not copied any more");
    if (this.#process?.usable !== true) this.#process = new IpcProcess(this.#note);
    return this.#process;
  }

  async detached(client: ChildClient): Promise<void> {
    this.#clients.delete(client);
    if (this.#clients.size === 0) await this.#process?.end();
  }
}

class ChildClient implements IpcClient {
  readonly #copiers: ChildCopiers;
  readonly #ring: RingReference;
  readonly #number: number;
  /** The child that has the ring, or is opening it. */
  #opened: { readonly process: IpcProcess; readonly done: Promise<void> } | undefined;
  #detaching: Promise<void> | undefined;

  constructor(copiers: ChildCopiers, ring: RingReference, number: number) {
    this.#copiers = copiers;
    this.#ring = ring;
    this.#number = number;
  }

  /** A child that has the ring. */
  async open(): Promise<IpcProcess> {
    const process = this.#copiers.process(this);
    if (this.#opened?.process !== process) {
      const done = process.request({ type: "open-ring", ring: this.#number, ...this.#ring });
      this.#opened = { process, done };
    }
    await this.#opened.done;
    return process;
  }

  /** The child that {@link open} has given last, if it can still be used. */
  get living(): IpcProcess | undefined {
    return this.#opened?.process.usable === true ? this.#opened.process : undefined;
  }

  beginSave(): IpcSave {
    return new ChildSave(this, this.#copiers.nextNumber());
  }

  async copy(save: number, slot: number, pieces: readonly IpcPiece[]): Promise<void> {
    checkPieces(this.#ring, slot, pieces);
    const process = await this.open();
    await process.request({ type: "copy", ring: this.#number, save, slot, pieces });
  }

  detach(): Promise<void> {
    this.#detaching ??= this.#detach();
    return this.#detaching;
  }

  async #detach(): Promise<void> {
    const process = this.living;
    if (process !== undefined) {
      const timer = systemClock.setTimer(RELEASE_TIMEOUT_MS, () => process.kill());
      // It fails when the process ends, which has let go of the ring then.
      await process.request({ type: "close-ring", ring: this.#number }).catch(ignore);
      timer.cancel();
    }
    await this.#copiers.detached(this);
  }
}

class ChildSave implements IpcSave {
  readonly #client: ChildClient;
  readonly #number: number;

  constructor(client: ChildClient, number: number) {
    this.#client = client;
    this.#number = number;
  }

  copy(slot: number, pieces: readonly IpcPiece[]): Promise<void> {
    return this.#client.copy(this.#number, slot, pieces);
  }

  async end(): Promise<void> {
    await this.#client.living?.request({ type: "end-save", save: this.#number }).catch(ignore);
  }
}

function checkPieces(ring: RingReference, slot: number, pieces: readonly IpcPiece[]): void {
  assert(slot < ring.slots, `slot ${slot} is one of ${ring.slots}`);
  for (const { handle, bytes, slotOffset } of pieces) {
    if (!/^[0-9a-f]{128}$/i.test(handle))
      throw new StagingError("protocol", "an IPC handle has 128 hexadecimal digits");
    if (slotOffset + bytes <= ring.slotBytes) continue;
    throw new StagingError("protocol", `a piece ends at ${slotOffset + bytes} of a slot of ${ring.slotBytes} bytes`);
  }
}
