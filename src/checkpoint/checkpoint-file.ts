import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import {
  FormatError,
  parseSafetensors,
  SAFETENSORS_LENGTH_BYTES,
  type SafetensorsFile,
  safetensorsDataOffset,
  type TensorPlace,
} from "../format/index.js";
import { CheckpointError, withErrors } from "./errors.js";
import { ALIAS_PREFIX, SAVE_KEYS } from "./names.js";

/** One file of a checkpoint, as its header and stat(2) describe it. */
export interface CheckpointFile extends SafetensorsFile {
  readonly path: string;
  /** Another path of the very file whose header this is, where it was kept open; else the same. */
  readonly readPath: string;
  readonly fileName: string;
  /** Every name that can be loaded: those of tied tensors share a place. */
  readonly places: ReadonlyMap<string, TensorPlace>;
  /** Which save it belongs to; undefined for files of other programs. */
  readonly saveId: string | undefined;
  /** When that began, milliseconds since 1970. */
  readonly savedMs: number | undefined;
  readonly modifiedMs: number;
}

/** Files that stay open, so that they can be read to their end also when they are replaced, or removed, meanwhile. */
export class OpenFiles {
  readonly #handles: FileHandle[] = [];

  /** @returns a path by which this process can open the file again. */
  keep(handle: FileHandle): string {
    this.#handles.push(handle);
    return `/proc/self/fd/${handle.fd}`;
  }

  async close(): Promise<void> {
    for (const handle of this.#handles.splice(0)) await handle.close();
  }
}

/**
 * Reads the header, and checks that it and the file's size agree.
 * @param kept where the file stays open, if it is to.
 * @throws CheckpointError damaged, not-checkpoint: it begins like nothing that is one; not-found …
 */
export function openCheckpointFile(directory: string, fileName: string, kept?: OpenFiles): Promise<CheckpointFile> {
  const path = join(directory, fileName);
  return withErrors(path, async () => {
    const handle = await open(path, "r");
    try {
      const readPath = kept?.keep(handle) ?? path;
      return { ...(await read(handle, path)), path, readPath, fileName };
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const kind = error.kind === "bad-magic" ? "not-checkpoint" : "damaged";
      throw new CheckpointError(kind, `${path}: ${error.message}`, { cause: error });
    } finally {
      if (kept === undefined) await handle.close();
    }
  });
}

async function read(handle: FileHandle, path: string): Promise<Omit<CheckpointFile, "path" | "readPath" | "fileName">> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw new CheckpointError("not-checkpoint", `${path} is not a file`);
  const start = await readStart(handle, SAFETENSORS_LENGTH_BYTES + 1);
  const header = await readStart(handle, safetensorsDataOffset(start, stats.size));
  const file = parseSafetensors(header, stats.size);
  return {
    ...file,
    places: placesByName(file),
    saveId: file.metadata.get(SAVE_KEYS.save),
    savedMs: timeOf(file.metadata),
    modifiedMs: stats.mtimeMs,
  };
}

/** @returns fewer bytes only where the file has fewer. */
async function readStart(handle: FileHandle, length: number): Promise<Uint8Array> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** Names of tied tensors that make no sense (any more) are not counted: another program may have saved what it loaded. */
function placesByName({ tensors, metadata }: SafetensorsFile): ReadonlyMap<string, TensorPlace> {
  const stored = new Map(tensors.map((place) => [place.name, place]));
  const places = new Map(stored);
  for (const [key, name] of metadata) {
    if (!key.startsWith(ALIAS_PREFIX)) continue;
    const alias = key.slice(ALIAS_PREFIX.length);
    const place = stored.get(name);
    if (place !== undefined && !stored.has(alias)) places.set(alias, place);
  }
  return places;
}

/** When a save began, as its files and its index say it. */
export function timeOf(metadata: ReadonlyMap<string, string>): number | undefined {
  const ms = Number(metadata.get(SAVE_KEYS.time) ?? Number.NaN);
  return Number.isSafeInteger(ms) && ms >= 0 ? ms : undefined;
}
