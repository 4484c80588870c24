import type { CudaDriver, DeviceCopier, DevicePiece, StagingAddon, StagingRing } from "../native/index.js";
import type { IpcPiece } from "../staging/protocol.js";
import { CheckpointError } from "./errors.js";
import type { DeviceMemory, TensorPart } from "./tensors.js";

/** A part of a tensor that is on a GPU. */
export interface DevicePart extends TensorPart {
  /** Of the whole tensor. */
  readonly memory: DeviceMemory;
}

/** The GPUs of this process. The driver is loaded when device memory is first met. */
export class Devices {
  readonly #addon: Pick<StagingAddon, "loadCuda">;
  readonly #copiers = new Map<number, Promise<DeviceCopier>>();
  readonly #registered = new Map<StagingRing, Promise<DeviceCopier | undefined>>();
  #driver: Promise<CudaDriver> | undefined;
  #unpinned = "";

  constructor(addon: Pick<StagingAddon, "loadCuda">) {
    this.#addon = addon;
  }

  /** Why the ring could not be pinned, which makes copies slower; empty if it could. */
  get unpinned(): string {
    return this.#unpinned;
  }

  /** @throws CheckpointError device: no driver, no such GPU. */
  async copierOf({ device }: DeviceMemory): Promise<DeviceCopier> {
    const { driver, ordinal } = await this.#find(device);
    const copier = this.#copiers.get(ordinal) ?? driver.openCopier(ordinal);
    this.#copiers.set(ordinal, copier);
    return copier;
  }

  /** The same, for copies from and to this ring. */
  async copierFor(memory: DeviceMemory, ring: StagingRing): Promise<DeviceCopier> {
    const copier = await this.copierOf(memory);
    const registered = this.#registered.get(ring) ?? this.#register(copier, ring);
    this.#registered.set(ring, registered);
    await registered;
    return copier;
  }

  /** What each copier has to copy between these parts of tensors and a slot of the ring. */
  async piecesByCopier(parts: readonly DevicePart[], ring: StagingRing): Promise<Map<DeviceCopier, DevicePiece[]>> {
    const byCopier = new Map<DeviceCopier, DevicePiece[]>();
    for (const { memory, from, bytes, windowOffset } of parts) {
      const copier = await this.copierFor(memory, ring);
      const pieces = byCopier.get(copier) ?? [];
      pieces.push({ address: memory.address + BigInt(from), bytes, slotOffset: windowOffset });
      byCopier.set(copier, pieces);
    }
    return byCopier;
  }

  /** A tensor's memory, as another process can open it: part of an allocation of legacy kind. */
  async ipcPiece(memory: DeviceMemory): Promise<Pick<IpcPiece, "device" | "handle" | "handleOffset">> {
    const { driver, ordinal } = await this.#find(memory.device);
    const copier = await this.copierOf(memory);
    const { handle, offset } = await copier.ipcHandle(memory.address);
    const uuid = driver.devices.find((device) => device.ordinal === ordinal)?.uuid ?? "";
    return { device: uuid, handle: Buffer.from(handle).toString("hex"), handleOffset: offset };
  }

  /** Before the ring is closed. */
  async release(ring: StagingRing): Promise<void> {
    const copier = await this.#registered.get(ring);
    this.#registered.delete(ring);
    // A driver that fails here has failed before, and said so.
    await copier?.unregister(ring).catch(() => undefined);
  }

  async close(): Promise<void> {
    const copiers = await Promise.allSettled(this.#copiers.values());
    this.#copiers.clear();
    for (const copier of copiers) if (copier.status === "fulfilled") copier.value.close();
  }

  /** @returns the copier that can undo it. */
  async #register(copier: DeviceCopier, ring: StagingRing): Promise<DeviceCopier | undefined> {
    try {
      await copier.register(ring);
      return copier;
    } catch (error) {
      this.#unpinned = `the ring could not be pinned: ${error instanceof Error ? error.message : String(error)}`;
      return undefined;
    }
  }

  async #find(device: string | number): Promise<{ readonly driver: CudaDriver; readonly ordinal: number }> {
    const driver = await this.#load();
    const found = driver.devices.find(({ ordinal, uuid }) => device === ordinal || device === uuid);
    if (found === undefined) throw new CheckpointError("device", `there is no GPU ${device} in this process`);
    return { driver, ordinal: found.ordinal };
  }

  async #load(): Promise<CudaDriver> {
    this.#driver ??= this.#addon.loadCuda().then((driver) => {
      if ("unavailable" in driver) throw new CheckpointError("device", `no CUDA driver: ${driver.unavailable}`);
      return driver;
    });
    return await this.#driver;
  }
}
