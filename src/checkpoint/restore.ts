import { Limiter } from "../base/index.js";
import type { TensorPlace } from "../format/index.js";
import type { StagedFile, StagingIo } from "../native/index.js";
import type { CheckpointFile } from "./checkpoint-file.js";
import type { DevicePart, Devices } from "./devices.js";
import { CheckpointError, checkpointError, withErrors } from "./errors.js";
import { type Sink, slotMemory } from "./sink.js";
import { bytesOf, isDeviceMemory, partsWithin, type TensorData } from "./tensors.js";

/** Reads of their own take turns with what is written. */
const LANE = 1;
/** Reads in flight: with 16 MiB each, more than any disk needs, and little of a ring. */
const WINDOWS_MAX = 8;
const BLOCK_BYTES = 4096;

/** What is wanted of one file: where its tensors go. One may go to several places. */
export interface Restore {
  readonly file: CheckpointFile;
  readonly destinations: ReadonlyMap<TensorPlace, readonly TensorData[]>;
}

export interface RestoreMeans {
  readonly io: StagingIo;
  readonly sink: Sink;
  readonly devices: Devices;
}

interface Window {
  readonly position: number;
  readonly length: number;
}

/**
 * Reads tensors into memory of this process or of GPUs, several windows of the file at once, and only those with something
 * wanted in them.
 * @throws CheckpointError damaged: the file has become shorter since its header was read; device; io
 */
export async function restore(wanted: Restore, means: RestoreMeans): Promise<void> {
  const { path, readPath } = wanted.file;
  await withErrors(path, async () => {
    const places = [...wanted.destinations.keys()].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
    const staged = await means.io.open(readPath, "read", LANE);
    const limiter = new Limiter(WINDOWS_MAX);
    const windows = windowsOf(places, wanted.file.sizeBytes, means.sink.ring.slotBytes);
    try {
      const reads = windows.map((window) =>
        limiter.run(() => restoreWindow(staged, window, { ...wanted, places }, means)),
      );
      // All of them, so that nothing is written into memory after this has failed.
      const failed = (await Promise.allSettled(reads)).find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") throw failed.reason;
    } finally {
      staged.close();
    }
  });
}

/** Ranges of whole blocks that hold the places, in pieces of at most a slot. */
function windowsOf(places: readonly TensorPlace[], fileSizeBytes: number, slotBytes: number): Window[] {
  const windows: Window[] = [];
  let end = 0;
  for (const { offset, sizeBytes } of places) {
    if (sizeBytes === 0) continue;
    const blockEnd = Math.ceil((offset + sizeBytes) / BLOCK_BYTES) * BLOCK_BYTES;
    let position = Math.max(end, Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES);
    const last = windows.at(-1);
    if (last !== undefined && last.position + last.length === position && last.length < slotBytes) {
      // Small tensors share a window with what is before them.
      windows.pop();
      position = last.position;
    }
    for (; position < blockEnd; position += slotBytes) {
      windows.push({ position, length: Math.min(slotBytes, blockEnd - position) });
    }
    end = Math.max(end, blockEnd);
  }
  return windows.map(({ position, length }) => ({ position, length: Math.min(length, fileSizeBytes - position) }));
}

async function restoreWindow(
  staged: StagedFile,
  { position, length }: Window,
  { file, destinations, places }: Restore & { readonly places: readonly TensorPlace[] },
  { sink, devices }: RestoreMeans,
): Promise<void> {
  const slot = await sink.slots.acquire();
  const bytes = await staged.read(sink.ring, slot, position, length).catch((error: unknown) => {
    sink.slots.release(slot);
    throw error;
  });
  if (bytes < length) {
    sink.slots.release(slot);
    throw new CheckpointError("damaged", `${file.path}: it ends at ${position + bytes} of ${file.sizeBytes} bytes`);
  }
  const memory = slotMemory(sink, slot);
  const onDevices: DevicePart[] = [];
  for (const part of partsWithin(places, position, position + length)) {
    const source = memory.subarray(part.windowOffset, part.windowOffset + part.bytes);
    for (const data of destinations.get(part.place) ?? []) {
      if (isDeviceMemory(data)) onDevices.push({ ...part, memory: data });
      else bytesOf(data).set(source, part.from);
    }
  }
  await copyToDevices({ sink, devices }, slot, onDevices);
  sink.slots.release(slot);
}

/** A slot whose copy has failed is not used again, nor is its ring: the driver may still read it. */
async function copyToDevices(
  { sink, devices }: Pick<RestoreMeans, "sink" | "devices">,
  slot: number,
  parts: readonly DevicePart[],
): Promise<void> {
  const byCopier = await devices.piecesByCopier(parts, sink.ring);
  try {
    await Promise.all([...byCopier].map(([copier, pieces]) => copier.fromSlot(sink.ring, slot, pieces)));
  } catch (error) {
    const failure = checkpointError(error, "copying into device memory");
    sink.abandon(failure);
    throw failure;
  }
}
