import { FormatError, type FormatErrorKind } from "./format-error.js";
import { JsonObject } from "./json.js";
import {
  isSafetensorsDtype,
  SAFETENSORS_HEADER_BYTES_MAX,
  SAFETENSORS_LENGTH_BYTES,
  SAFETENSORS_METADATA_KEY,
  type SafetensorsFile,
  type TensorPlace,
  tensorSizeBytes,
} from "./safetensors.js";

const BRACE = "{".charCodeAt(0);
const QUOTE = '"';

/**
 * How many bytes at the start of a file are header, with its length.
 * @param start the first {@link SAFETENSORS_LENGTH_BYTES} + 1 bytes, fewer where the file has fewer.
 * @throws FormatError bad-magic: no safetensors file; truncated.
 */
export function safetensorsDataOffset(start: Uint8Array, fileSizeBytes: number): number {
  if (start.length <= SAFETENSORS_LENGTH_BYTES) throw wrong("truncated", `it has only ${fileSizeBytes} bytes`);
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  if (length > SAFETENSORS_HEADER_BYTES_MAX || start[SAFETENSORS_LENGTH_BYTES] !== BRACE) {
    throw wrong("bad-magic", "it does not begin with a safetensors header");
  }
  const dataOffset = SAFETENSORS_LENGTH_BYTES + length;
  if (dataOffset > fileSizeBytes) {
    throw wrong("truncated", `it ends within its header, at ${fileSizeBytes} of at least ${dataOffset} bytes`);
  }
  return dataOffset;
}

/**
 * Reads a header by every rule of the format, so that each byte behind it belongs to exactly one tensor.
 * @param header the bytes before {@link safetensorsDataOffset}.
 * @throws FormatError truncated: the file ends before its last tensor does; malformed.
 */
export function parseSafetensors(header: Uint8Array, fileSizeBytes: number): SafetensorsFile {
  const dataOffset = header.length;
  const text = decodeUtf8(header.subarray(SAFETENSORS_LENGTH_BYTES));
  const json = JsonObject.parse("its header", text);
  const twice = repeatedKey(text);
  if (twice !== undefined) throw wrong("malformed", `its header has ${JSON.stringify(twice)} twice`);
  const tensors = Object.keys(json.members)
    .filter((name) => name !== SAFETENSORS_METADATA_KEY)
    .map((name) => parseTensor(json.object(name), name, dataOffset))
    // Those without bytes lie before the one that begins where they are.
    .sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  const sizeBytes = checkPlaces(tensors, dataOffset);
  if (fileSizeBytes < sizeBytes) throw wrong("truncated", `it has ${fileSizeBytes} of ${sizeBytes} bytes`);
  if (fileSizeBytes > sizeBytes) {
    throw wrong("malformed", `${fileSizeBytes - sizeBytes} bytes follow its last tensor`);
  }
  return { tensors, metadata: parseMetadata(json), dataOffset, sizeBytes };
}

function parseTensor(json: JsonObject, name: string, dataOffset: number): TensorPlace {
  const what = `tensor ${JSON.stringify(name)}`;
  const dtype = json.string("dtype");
  if (!isSafetensorsDtype(dtype)) throw wrong("malformed", `${what} has the unknown dtype ${JSON.stringify(dtype)}`);
  const shape = json.integers("shape");
  const [begin, end, ...more] = json.integers("data_offsets");
  if (begin === undefined || end === undefined || more.length > 0 || begin > end) {
    throw wrong("malformed", `${what}: data_offsets are no range`);
  }
  const sizeBytes = tensorSizeBytes(name, { dtype, shape });
  if (sizeBytes !== end - begin) {
    throw wrong("malformed", `${what} has ${end - begin} bytes where its shape and dtype take ${sizeBytes}`);
  }
  return { name, dtype, shape, offset: dataOffset + begin, sizeBytes };
}

/** @returns where the last tensor ends. */
function checkPlaces(tensors: readonly TensorPlace[], dataOffset: number): number {
  let end = dataOffset;
  for (const { name, offset, sizeBytes } of tensors) {
    if (offset !== end) {
      const what = offset > end ? "there is a hole before" : "another tensor lies within";
      throw wrong("malformed", `${what} tensor ${JSON.stringify(name)}`);
    }
    end = offset + sizeBytes;
  }
  return end;
}

function parseMetadata(json: JsonObject): ReadonlyMap<string, string> {
  if (json.members[SAFETENSORS_METADATA_KEY] === undefined) return new Map();
  const metadata = json.object(SAFETENSORS_METADATA_KEY);
  return new Map(Object.keys(metadata.members).map((key) => [key, metadata.string(key)]));
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError("malformed", "its header is not UTF-8", { cause });
  }
}

/** A key that is twice in one object of `text`, which is JSON: JSON.parse takes the last, where the format forbids it. */
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "}") open.pop();
    else if (character === QUOTE) {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      if (isKey(text, end) && keys !== undefined) {
        const key = JSON.parse(text.slice(at, end)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      at = end - 1;
    }
  }
  return undefined;
}

/** Behind the quote that ends the string which begins at `start`: one with an even number of backslashes before it. */
function endOfString(text: string, start: number): number {
  let quote = start;
  let backslashes: number;
  do {
    quote = text.indexOf(QUOTE, quote + 1);
    backslashes = 0;
    while (text[quote - 1 - backslashes] === "\\") backslashes++;
  } while (backslashes % 2 === 1);
  return quote + 1;
}

function isKey(text: string, end: number): boolean {
  let at = end;
  while (" \t\r\n".includes(text.charAt(at)) && at < text.length) at++;
  return text[at] === ":";
}

function wrong(kind: FormatErrorKind, message: string): FormatError {
  return new FormatError(kind, message);
}
