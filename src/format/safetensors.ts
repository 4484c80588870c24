import { FormatError } from "./format-error.js";

/**
 * The safetensors format (https://github.com/huggingface/safetensors, "Format"): 8 bytes of header length, little-endian, a
 * JSON object that names tensors with their dtypes, shapes and places, and their bytes, row-major, without holes.
 *
 * The header may be padded with blanks: here, so that data starts at a multiple of {@link SAFETENSORS_ALIGNMENT_BYTES}, and
 * direct I/O and memory maps meet tensors where they like them.
 */

export const SAFETENSORS_LENGTH_BYTES = 8;
/** Of the header, without its length: what the reference implementation takes. */
export const SAFETENSORS_HEADER_BYTES_MAX = 100_000_000;
/** The largest block that O_DIRECT asks for, and the size of a page. */
export const SAFETENSORS_ALIGNMENT_BYTES = 4096;
/** The key in the header that is no tensor: strings by name, for whoever wrote the file. */
export const SAFETENSORS_METADATA_KEY = "__metadata__";

/** Bits of one element. Those of less than a byte are packed, and a tensor of them must fill whole bytes. */
const DTYPE_BITS = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BITS;

export interface TensorType {
  readonly dtype: SafetensorsDtype;
  /** Empty for a scalar; a tensor with a 0 in it has no bytes. */
  readonly shape: readonly number[];
}

/** A tensor, and where its bytes are. */
export interface TensorPlace extends TensorType {
  readonly name: string;
  /** From the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What the header of a file says. */
export interface SafetensorsFile {
  /** In the order of their bytes. */
  readonly tensors: readonly TensorPlace[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the bytes of tensors begin. */
  readonly dataOffset: number;
  /** Of the whole file: it ends with its last tensor. */
  readonly sizeBytes: number;
}

/** A file that is to be written. */
export interface SafetensorsLayout extends SafetensorsFile {
  /** The file's first `dataOffset` bytes. */
  readonly header: Uint8Array;
}

export function isSafetensorsDtype(text: string): text is SafetensorsDtype {
  return Object.hasOwn(DTYPE_BITS, text);
}

/**
 * @param name of the tensor, for the error.
 * @throws FormatError malformed where a length is no whole number, or elements do not fill whole bytes.
 */
export function tensorSizeBytes(name: string, { dtype, shape }: TensorType): number {
  const fail = (why: string): never => {
    throw malformed(`tensor ${JSON.stringify(name)}: ${why}`);
  };
  let elements = 1;
  for (const length of shape) {
    if (!Number.isSafeInteger(length) || length < 0) fail(`shape [${shape.join(", ")}] makes no sense`);
    elements *= length;
  }
  const bits = elements * DTYPE_BITS[dtype];
  if (!Number.isSafeInteger(bits)) fail(`shape [${shape.join(", ")}] is too large`);
  if (bits % 8 !== 0) fail(`${elements} elements of ${dtype} do not fill whole bytes`);
  return bits / 8;
}

/**
 * Lays tensors out: large elements first, so that each tensor lies at a multiple of its element's size, and those of the
 * same size by name.
 * @throws FormatError malformed: sizes as in {@link tensorSizeBytes}; a tensor of the name `__metadata__`; a header above
 *   what readers take.
 */
export function planSafetensors(
  tensors: ReadonlyMap<string, TensorType>,
  metadata: ReadonlyMap<string, string> = new Map(),
): SafetensorsLayout {
  const ordered = [...tensors].sort(
    ([name, { dtype }], [otherName, other]) =>
      DTYPE_BITS[other.dtype] - DTYPE_BITS[dtype] || (name < otherName ? -1 : 1),
  );
  const entries: [string, unknown][] = metadata.size === 0 ? [] : [[SAFETENSORS_METADATA_KEY, fromEntries(metadata)]];
  const places: TensorPlace[] = [];
  let end = 0;
  for (const [name, { dtype, shape }] of ordered) {
    if (name === SAFETENSORS_METADATA_KEY) throw malformed(`${SAFETENSORS_METADATA_KEY} cannot be a tensor's name`);
    const sizeBytes = tensorSizeBytes(name, { dtype, shape });
    places.push({ name, dtype, shape, offset: end, sizeBytes });
    entries.push([name, { dtype, shape, data_offsets: [end, end + sizeBytes] }]);
    end += sizeBytes;
  }
  const header = encodeHeader(fromEntries(entries));
  return {
    tensors: places.map((place) => ({ ...place, offset: header.length + place.offset })),
    metadata,
    dataOffset: header.length,
    sizeBytes: header.length + end,
    header,
  };
}

function encodeHeader(json: unknown): Uint8Array {
  const text = JSON.stringify(json);
  const length = SAFETENSORS_LENGTH_BYTES + Buffer.byteLength(text);
  const padded = Math.ceil(length / SAFETENSORS_ALIGNMENT_BYTES) * SAFETENSORS_ALIGNMENT_BYTES;
  if (padded - SAFETENSORS_LENGTH_BYTES > SAFETENSORS_HEADER_BYTES_MAX) {
    throw malformed(`${padded} bytes of header are more than the ${SAFETENSORS_HEADER_BYTES_MAX} that readers take`);
  }
  const header = Buffer.alloc(padded, " ");
  header.writeBigUInt64LE(BigInt(padded - SAFETENSORS_LENGTH_BYTES));
  header.write(text, SAFETENSORS_LENGTH_BYTES);
  return header;
}

/** Unlike an assignment, makes a member of whatever name, `__proto__` too. */
function fromEntries(entries: Iterable<readonly [string, unknown]>): Record<string, unknown> {
  return Object.fromEntries(entries);
}

function malformed(message: string): FormatError {
  return new FormatError("malformed", message);
}
