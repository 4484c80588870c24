import {
  FormatError,
  isSafetensorsDtype,
  type TensorPlace,
  type TensorType,
  tensorSizeBytes,
} from "../format/index.js";
import { CheckpointError } from "./errors.js";
import { ALIAS_PREFIX, RESERVED_PREFIX } from "./names.js";

/** Memory of a GPU, which the program keeps as it is until what uses it has resolved. */
export interface DeviceMemory {
  /** "GPU-…" as nvidia-smi has it, or the number that the driver gives the GPU in this process. */
  readonly device: string | number;
  readonly address: bigint;
}

/** Row-major, in the machine's byte order, which is the file's. */
export type TensorData = ArrayBufferView | DeviceMemory;

/** A tensor of this program: where its bytes are. */
export interface Tensor extends TensorType {
  readonly data: TensorData;
}

export interface LoadedTensor extends TensorType {
  /** Begins at the start of an ArrayBuffer of its own, so that any typed array can be laid over it. */
  readonly data: Uint8Array;
}

/** What to store: each tensor once. */
export interface TensorSet {
  readonly stored: ReadonlyMap<string, Tensor>;
  /** Metadata that says which names are other names of stored tensors. */
  readonly aliases: ReadonlyMap<string, string>;
}

/** A piece of a tensor, and where it lies within a window of the file. */
export interface TensorPart {
  readonly place: TensorPlace;
  /** From the tensor's first byte. */
  readonly from: number;
  readonly bytes: number;
  readonly windowOffset: number;
}

/**
 * Tensors over the very same memory are tied: their bytes are stored once.
 * @throws CheckpointError invalid-tensor
 */
export function tensorSet(tensors: Readonly<Record<string, Tensor>>): TensorSet {
  const stored = new Map<string, Tensor>();
  const aliases = new Map<string, string>();
  const names = new SameMemory();
  for (const [name, tensor] of Object.entries(tensors)) {
    const sizeBytes = checkTensor(name, tensor);
    const first = sizeBytes === 0 ? undefined : names.firstOf(tensor, name);
    if (first === undefined) stored.set(name, tensor);
    else aliases.set(ALIAS_PREFIX + name, first);
  }
  return { stored, aliases };
}

/**
 * @returns the tensor's size in bytes.
 * @throws CheckpointError invalid-tensor
 */
export function checkTensor(name: string, { dtype, shape, data }: Tensor): number {
  if (!isWellFormed(name)) throw invalid(name, "its name is not valid Unicode");
  if (!isSafetensorsDtype(dtype)) throw invalid(name, `${JSON.stringify(dtype)} is no dtype of safetensors`);
  if (!Array.isArray(shape)) throw invalid(name, "its shape is not an array of numbers");
  const sizeBytes = sizeOf(name, { dtype, shape });
  if (isDeviceMemory(data)) {
    if (data.address <= 0n && sizeBytes > 0) throw invalid(name, "its address on the device is not one");
  } else if (!ArrayBuffer.isView(data)) {
    throw invalid(name, "its data is neither a typed array nor device memory");
  } else if (data.byteLength !== sizeBytes) {
    throw invalid(name, `${dtype} of shape [${shape.join(", ")}] takes ${sizeBytes} bytes, it has ${data.byteLength}`);
  }
  return sizeBytes;
}

function sizeOf(name: string, type: TensorType): number {
  try {
    return tensorSizeBytes(name, type);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new CheckpointError("invalid-tensor", cause.message, { cause });
  }
}

export function checkMetadata(metadata: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  for (const [key, value] of Object.entries(metadata)) {
    if (key.startsWith(RESERVED_PREFIX)) {
      throw new CheckpointError("invalid-tensor", `metadata ${JSON.stringify(key)}: podfs keeps "podfs." for itself`);
    }
    if (typeof value !== "string" || !isWellFormed(key + value)) {
      throw new CheckpointError(
        "invalid-tensor",
        `metadata ${JSON.stringify(key)} is not text, which is all it can be`,
      );
    }
  }
  return new Map(Object.entries(metadata));
}

export function isDeviceMemory(data: unknown): data is DeviceMemory {
  return typeof data === "object" && data !== null && "address" in data && typeof data.address === "bigint";
}

/** The bytes of a view of whatever type. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** The pieces of tensors, which are in the order of their offsets, that lie in the file's window [begin, end). */
export function partsWithin(places: readonly TensorPlace[], begin: number, end: number): TensorPart[] {
  const parts: TensorPart[] = [];
  for (let index = firstEndingAfter(places, begin); index < places.length; index++) {
    const place = places[index];
    if (place === undefined || place.offset >= end) break;
    const from = Math.max(begin, place.offset);
    const bytes = Math.min(end, place.offset + place.sizeBytes) - from;
    if (bytes > 0) parts.push({ place, from: from - place.offset, bytes, windowOffset: from - begin });
  }
  return parts;
}

function firstEndingAfter(places: readonly TensorPlace[], position: number): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const place = places[middle];
    if (place !== undefined && place.offset + place.sizeBytes <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Finds tensors that have the same memory, dtype and shape. */
class SameMemory {
  readonly #numbers = new Map<ArrayBufferLike, number>();
  readonly #names = new Map<string, string>();

  /** The name under which such a tensor was asked for before. */
  firstOf({ dtype, shape, data }: Tensor, name: string): string | undefined {
    const where = isDeviceMemory(data) ? [data.device, String(data.address)] : [this.#number(data), data.byteOffset];
    const key = JSON.stringify([isDeviceMemory(data), ...where, dtype, shape]);
    const first = this.#names.get(key);
    if (first === undefined) this.#names.set(key, name);
    return first;
  }

  #number({ buffer }: ArrayBufferView): number {
    const number = this.#numbers.get(buffer) ?? this.#numbers.size;
    this.#numbers.set(buffer, number);
    return number;
  }
}

/** Half of a surrogate pair has no place in UTF-8. */
function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

function invalid(name: string, why: string): CheckpointError {
  return new CheckpointError("invalid-tensor", `tensor ${JSON.stringify(name)}: ${why}`);
}
