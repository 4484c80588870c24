import { setImmediate as nextTurn } from "node:timers/promises";
import type { SafetensorsLayout } from "../format/index.js";
import type { IpcPiece } from "../staging/protocol.js";
import type { DevicePart, Devices } from "./devices.js";
import { checkpointError } from "./errors.js";
import { type SaveTarget, type Sink, slotMemory } from "./sink.js";
import { bytesOf, isDeviceMemory, partsWithin, type Tensor } from "./tensors.js";

/** A file's content: its layout, and the tensors that belong into it. */
export interface FileContent {
  readonly layout: SafetensorsLayout;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Where the content goes. */
export interface Filling {
  readonly content: FileContent;
  readonly target: SaveTarget;
  readonly sink: Sink;
  readonly devices: Devices;
}

/**
 * Copies a file, piece by piece, into slots and hands them to the target.
 *
 * Resolves when every byte has been copied, so that tensors may change: while slots are free, copying does not wait for the
 * disk. Copies out of device memory overlap; those of one GPU are done in order.
 * @returns settles, never with an error, when the last slot is free again.
 * @throws CheckpointError device; the target's failure. Nothing is copied any more then.
 */
export async function fillSlots(filling: Filling): Promise<{ readonly written: Promise<unknown> }> {
  const { content, target, sink } = filling;
  const { sizeBytes } = content.layout;
  const copies: Promise<unknown>[] = [];
  const writes: Promise<unknown>[] = [];
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
  };
  for (let offset = 0; offset < sizeBytes; offset += sink.ring.slotBytes) {
    const slot = await sink.slots.acquire().catch(fail);
    if (slot === undefined) break;
    const length = Math.min(sink.ring.slotBytes, sizeBytes - offset);
    const copied = fillSlot(filling, slot, offset, length).catch((error: unknown) => {
      // Unless it was given up with its ring, nothing can land in it.
      if (sink.failure === undefined) sink.slots.release(slot);
      throw error;
    });
    copies.push(copied.catch(fail));
    writes.push(copied.then((pieces) => writeSlot(filling, slot, offset, length, pieces)).catch(fail));
    // Memory is copied on this thread: others get their turn in between.
    await nextTurn();
    if (failure !== undefined || target.failure !== undefined) break;
  }
  await Promise.all(copies);
  failure ??= target.failure;
  if (failure !== undefined) {
    // A process of the mount may still be copying out of tensors (mode "ipc").
    await Promise.all(writes);
    throw failure;
  }
  await target.copied();
  return { written: Promise.all(writes) };
}

/**
 * Fills a slot with the file's bytes from `offset` on.
 * @returns the pieces that are left for a process of the mount (mode "ipc").
 */
async function fillSlot(filling: Filling, slot: number, offset: number, length: number): Promise<IpcPiece[]> {
  const { layout, tensors } = filling.content;
  const memory = slotMemory(filling.sink, slot);
  if (offset < layout.dataOffset) memory.set(layout.header.subarray(offset, offset + length));
  const onDevices: DevicePart[] = [];
  for (const part of partsWithin(layout.tensors, offset, offset + length)) {
    const data = tensors.get(part.place.name)?.data;
    if (data === undefined) continue;
    if (isDeviceMemory(data)) onDevices.push({ ...part, memory: data });
    else memory.set(bytesOf(data).subarray(part.from, part.from + part.bytes), part.windowOffset);
  }
  if (filling.sink.mode === "ipc") return Promise.all(onDevices.map((part) => ipcPiece(part, filling.devices)));
  await copyFromDevices(filling, slot, onDevices);
  return [];
}

async function writeSlot(
  { target, sink }: Filling,
  slot: number,
  offset: number,
  length: number,
  pieces: readonly IpcPiece[],
): Promise<void> {
  await target.write(slot, offset, length, pieces);
  sink.slots.release(slot);
}

async function ipcPiece({ memory, from, bytes, windowOffset }: DevicePart, devices: Devices): Promise<IpcPiece> {
  const allocation = await devices.ipcPiece(memory);
  return { ...allocation, handleOffset: allocation.handleOffset + from, bytes, slotOffset: windowOffset };
}

/** A slot whose copy has failed is not used again, nor is its ring: the copy may still land in it. */
async function copyFromDevices({ sink, devices }: Filling, slot: number, parts: readonly DevicePart[]): Promise<void> {
  const byCopier = await devices.piecesByCopier(parts, sink.ring);
  try {
    await Promise.all([...byCopier].map(([copier, pieces]) => copier.toSlot(sink.ring, slot, pieces)));
  } catch (error) {
    const failure = checkpointError(error, "copying out of device memory");
    sink.abandon(failure);
    throw failure;
  }
}
