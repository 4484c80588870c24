import { randomBytes } from "node:crypto";
import { type FileHandle, lstat, open, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { allocateReadBuffer, ignore } from "../../base/index.js";
import { BackendError, throwIfAborted } from "../backend-error.js";
import type { PutBody } from "../object-store.js";
import { errnoCode } from "./directory-errors.js";

/** In the backend's root. Not a key, so nothing in it is ever listed or read. */
export const TEMPORARY_DIRECTORY = ".podfs-tmp";
/** As {@link DIRECTORY_MODE}. */
const FILE_MODE = 0o600;
const COPY_BUFFER_BYTES = 4 << 20;
/** Writing keeps a file's time young; nobody stops for a day in the middle and goes on. */
const LEFTOVER_AGE_MS_MIN = 24 * 3600 * 1000;

export interface TemporaryFile {
  readonly path: string;
  /** See {@link versionOf}. */
  readonly version: string;
  /** By the clock of the file server, which is the one that other files' times are of. */
  readonly mtimeMs: number;
}

/** A version tag: renaming and linking change neither of its parts, replacing the object does. */
export function versionOf(stats: { readonly ino: bigint; readonly size: bigint; readonly mtimeNs: bigint }): string {
  return `${stats.ino.toString(36)}-${stats.size.toString(36)}-${stats.mtimeNs.toString(36)}`;
}

/** Writes a new file and syncs it. Leaves nothing behind when it fails. */
export async function writeTemporaryFile(
  directory: string,
  body: PutBody,
  what: string,
  signal: AbortSignal | undefined,
): Promise<TemporaryFile> {
  // Random, because process ids repeat on other machines.
  const path = join(directory, randomBytes(16).toString("hex"));
  const handle = await open(path, "wx", FILE_MODE);
  try {
    if (body instanceof Uint8Array) await writeAll(handle, body);
    else await copyLocalFile(handle, body.path, body.sizeBytes, what, signal);
    throwIfAborted(signal, what);
    await handle.sync();
    const stats = await handle.stat({ bigint: true });
    await handle.close();
    return { path, version: versionOf(stats), mtimeMs: Number(stats.mtimeMs) };
  } catch (error) {
    await handle.close().catch(ignore);
    await unlink(path).catch(ignore);
    throw error;
  }
}

/** Removes what crashed writers have left. Best effort: it is tried again at the next start. */
export async function removeLeftovers(directory: string, nowMs: number): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const stats = await lstat(path).catch(ignore);
    if (stats?.isFile() && nowMs - stats.mtimeMs > LEFTOVER_AGE_MS_MIN) await unlink(path).catch(ignore);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, offset);
    offset += bytesWritten;
  }
}

/** Not copyFile: which of the two files is in trouble decides what to do about it. */
async function copyLocalFile(
  to: FileHandle,
  path: string,
  sizeBytes: number,
  what: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const from = await local(what, () => open(path, "r"));
  try {
    const buffer = allocateReadBuffer(Math.min(Math.max(sizeBytes, 1), COPY_BUFFER_BYTES));
    for (let offset = 0; offset < sizeBytes; ) {
      throwIfAborted(signal, what);
      const length = Math.min(buffer.byteLength, sizeBytes - offset);
      const { bytesRead } = await local(what, () => from.read(buffer, 0, length, offset));
      if (bytesRead === 0) {
        throw new BackendError("local-file", `${what}: the local file ends at ${offset} of ${sizeBytes} bytes`);
      }
      await writeAll(to, buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
  } finally {
    await from.close().catch(ignore);
  }
}

async function local<T>(what: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    const code = errnoCode(error) ?? String(error);
    throw new BackendError("local-file", `${what}: cannot read the local file: ${code}`, { cause: error });
  }
}
