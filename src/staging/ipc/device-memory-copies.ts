import type { CudaDriver, DeviceCopier, DevicePiece, StagingAddon } from "../../native/index.js";
import type { IpcPiece } from "../protocol.js";
import type { IpcRequest } from "./messages.js";
import { OpenedMemory } from "./opened-memory.js";
import { OpenedRing } from "./opened-ring.js";

/** What the child does: copies out of the memory of other processes' devices into rings of the parent's clients. */
export class DeviceMemoryCopies {
  readonly #addon: StagingAddon;
  readonly #driver: CudaDriver;
  readonly #note: (message: string) => void;
  /** By UUID. A device gets a context with its first copy: that takes memory of it. */
  readonly #copiers = new Map<string, Promise<DeviceCopier>>();
  readonly #rings = new Map<number, OpenedRing>();
  readonly #saves = new Map<number, OpenedMemory>();

  constructor(addon: StagingAddon, driver: CudaDriver, note: (message: string) => void) {
    this.#addon = addon;
    this.#driver = driver;
    this.#note = note;
  }

  /** @throws what the driver, or the system, says. */
  async handle(request: IpcRequest): Promise<void> {
    switch (request.type) {
      case "open-ring":
        this.#rings.set(request.ring, new OpenedRing(this.#addon, request, this.#note));
        return;
      case "close-ring": {
        const ring = this.#rings.get(request.ring);
        this.#rings.delete(request.ring);
        await ring?.close();
        return;
      }
      case "copy": {
        const ring = this.#rings.get(request.ring);
        if (ring === undefined) throw new Error(`there is no ring ${request.ring}`);
        const memory = this.#saves.get(request.save) ?? new OpenedMemory();
        this.#saves.set(request.save, memory);
        await ring.use(memory.use(this.#copy(ring, memory, request.slot, request.pieces)));
        return;
      }
      case "end-save": {
        const memory = this.#saves.get(request.save);
        this.#saves.delete(request.save);
        await memory?.close();
        return;
      }
    }
  }

  async #copy(ring: OpenedRing, memory: OpenedMemory, slot: number, pieces: readonly IpcPiece[]): Promise<void> {
    const devices = new Set(pieces.map(({ device }) => device));
    const copies = [...devices].map((uuid) => {
      const ofDevice = pieces.filter(({ device }) => device === uuid);
      return this.#copyFrom(uuid, ring, memory, slot, ofDevice);
    });
    // Also when one of them fails: the slot is in use until the last has ended.
    const ended = await Promise.allSettled(copies);
    for (const end of ended) if (end.status === "rejected") throw end.reason;
  }

  async #copyFrom(
    uuid: string,
    ring: OpenedRing,
    memory: OpenedMemory,
    slot: number,
    pieces: readonly IpcPiece[],
  ): Promise<void> {
    const copier = await this.#copier(uuid);
    await ring.pin(copier);
    const within: DevicePiece[] = [];
    for (const { handle, handleOffset, bytes, slotOffset } of pieces) {
      const allocation = await memory.open(copier, handle);
      // The driver checks no more than that something is there: it may be another allocation of the same process.
      if (handleOffset + bytes > allocation.bytes) {
        throw new Error(`a piece ends at ${handleOffset + bytes} of an allocation of ${allocation.bytes} bytes`);
      }
      within.push({ address: allocation.address + BigInt(handleOffset), bytes, slotOffset });
    }
    await copier.toSlot(ring.ring, slot, within);
  }

  #copier(uuid: string): Promise<DeviceCopier> {
    const known = this.#copiers.get(uuid);
    if (known !== undefined) return known;
    const device = this.#driver.devices.find((candidate) => candidate.uuid === uuid);
    if (device === undefined)
      return Promise.reject(new Error(`${uuid} is not a device that the mount's process can use`));
    const opening = this.#driver.openCopier(device.ordinal);
    this.#copiers.set(uuid, opening);
    // The next copy tries again.
    opening.catch(() => this.#copiers.delete(uuid));
    return opening;
  }
}
