import { FormatError } from "./format-error.js";
import { JsonObject } from "./json.js";

/**
 * What says which file of a sharded checkpoint has which tensor, in the layout of Hugging Face:
 * `{ "metadata": { "total_size": … }, "weight_map": { TENSOR: FILE } }`.
 */
export interface SafetensorsIndex {
  /** File names by tensor: plain ones, of visible files in the index's own directory. */
  readonly files: ReadonlyMap<string, string>;
  /** Those of its metadata that are text. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** @throws FormatError malformed, also where a file's name leads elsewhere: what an index names may be removed with it. */
export function parseSafetensorsIndex(text: string): SafetensorsIndex {
  const json = JsonObject.parse("the index", text);
  const map = json.object("weight_map");
  const files = new Map(Object.keys(map.members).map((tensor) => [tensor, map.string(tensor)]));
  for (const file of files.values()) {
    if (file.startsWith(".") || /[/\0]/.test(file) || !file.endsWith(".safetensors")) {
      throw new FormatError("malformed", `the index names ${JSON.stringify(file)}, which is no file beside it`);
    }
  }
  const { members } = json.members.metadata === undefined ? { members: {} } : json.object("metadata");
  const texts = Object.entries(members).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return { files, metadata: new Map(texts) };
}

/** What an index is to say. */
export interface IndexContent extends SafetensorsIndex {
  /** Of all tensors; those of several files count in each. */
  readonly dataBytes: number;
}

/** The text of an index; tensors in the order of their names, so that equal ones are equal bytes. */
export function encodeSafetensorsIndex({ files, metadata, dataBytes }: IndexContent): Uint8Array {
  const byName = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const json = {
    metadata: { ...Object.fromEntries(metadata), total_size: dataBytes },
    weight_map: Object.fromEntries(byName),
  };
  return Buffer.from(`${JSON.stringify(json)}\n`);
}
